package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/hub"
)

type serveFlags struct {
	config, data, listen, policy string
	root                         rootFlags
	tlsCert, tlsKey              string
	title, origin                string
	allowOrigins, proxies        []string
	maxConnections, maxNetwork   int
	maxRequests                  int
	checkpointBytes              int64
	reserveBytes                 uint64
	keepFinished                 days
	oneNetwork                   bool
	siteTokens, privateResults   bool
	logFormat, logLevel          string
	log                          logFlags
}

func serveCommand() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run a hub",
		Long: `serve runs a hub until it is interrupted.

Every flag may also be given in the environment, as COUNTERSIGN_HUB_ and its name
in capitals with _ for -, or in a TOML file named with --config, with _ for -. A
flag goes before the environment, and the environment before the file.`,
		Example: "  hub serve --data data --listen 127.0.0.1:8080 --policy policy.json --root root1.pub --root root2.pub --root root3.pub --threshold 2",
		Args:    cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&f.config, "config", "", "TOML `file` with these settings")
	flags.StringVar(&f.data, "data", "", "`directory` of the hub's facts, blobs and key; made if it is not there")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8080", "`address` to listen on")
	flags.StringVar(&f.policy, "policy", "", "signed policy: who may sign what (`file`, its signatures beside it in FILE.minisig); needed at the first start")
	f.root.add(flags)
	flags.StringVar(&f.tlsCert, "tls-cert", "", "TLS certificate (PEM `file`)")
	flags.StringVar(&f.tlsKey, "tls-key", "", "its key (PEM `file`)")
	flags.StringVar(&f.title, "title", "", "title of the page")
	flags.StringVar(&f.origin, "origin", "", "`URL` where visitors reach the hub: its own pages are of this origin (default: of any name that leads here)")
	flags.StringSliceVar(&f.allowOrigins, "allow-origin", nil, "other `origins` whose pages may volunteer here, like https://example.org; where the policy names origins, only those in both")
	flags.BoolVar(&f.siteTokens, "site-tokens", false, "let pages of other origins in only with their site's token (hub token mint --role site)")
	flags.BoolVar(&f.privateResults, "private-results", false, "show results and input files only with an auditor's token")
	flags.StringSliceVar(&f.proxies, "trusted-proxy", nil, "`networks` of proxies whose X-Forwarded-For is believed, like 10.0.0.0/8")
	flags.IntVar(&f.maxConnections, "max-connections", 0, "most worker connections (0: 20000)")
	flags.IntVar(&f.maxNetwork, "max-per-network", 0, "most worker connections of one network prefix (0: 1024)")
	flags.IntVar(&f.maxRequests, "max-requests", 0, "most HTTP requests a second of one network prefix, ten times as many at once (0: 500; none with --unsafe-one-network)")
	flags.Int64Var(&f.checkpointBytes, "checkpoint-bytes", 0, "most `bytes` of checkpoints that are kept (0: 4 GiB)")
	flags.Uint64Var(&f.reserveBytes, "reserve-bytes", 0, "lend and admit nothing while the disk has fewer `bytes` left (0: 64 MiB)")
	flags.Var(&f.keepFinished, "keep-finished", "remove the votes of orders that ended so long ago, like 30d, at least 7d (0: never); results stay")
	flags.BoolVar(&f.oneNetwork, "unsafe-one-network", false, "count every worker key as independent, even on one machine: for demonstrations and tests")
	f.log.add(flags)
	flags.StringVar(&f.logFormat, "log-format", "text", "text or json")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	c.RunE = func(c *cobra.Command, _ []string) error {
		file := f.config
		if text, ok := os.LookupEnv(envPrefix + "CONFIG"); ok && text != "" && !flags.Changed("config") {
			file = text
		}
		if err := configure(flags, os.LookupEnv, file); err != nil {
			return err
		}
		return f.serve(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
	}
	return c
}

func (f *serveFlags) serve(ctx context.Context, stdout, stderr io.Writer) (err error) {
	opt, err := f.options(stderr)
	if err != nil {
		return err
	}
	l, scheme, err := f.listener()
	if err != nil {
		return err
	}
	h, err := hub.New(ctx, opt)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	f.greet(stdout, h, scheme+"://"+l.Addr().String())
	return h.Run(ctx, l)
}

func (f *serveFlags) options(stderr io.Writer) (opt hub.Options, err error) {
	if f.data == "" || len(f.root.keys) == 0 {
		return opt, errors.New("serve needs --data DIR and --root KEY, and --policy FILE at the first start")
	}
	opt = hub.Options{Data: f.data, Title: f.title, Origin: f.origin, AllowOrigins: f.allowOrigins,
		SiteTokens: f.siteTokens, PrivateResults: f.privateResults,
		MaxConnections: f.maxConnections, MaxPerNetwork: f.maxNetwork, MaxRequests: f.maxRequests, CheckpointBytes: f.checkpointBytes, ReserveBytes: f.reserveBytes,
		KeepFinished: time.Duration(f.keepFinished), UnsafeOneNetwork: f.oneNetwork}
	f.log.set(&opt)
	if opt.Root, err = f.root.load(); err != nil {
		return opt, err
	}
	if f.policy != "" {
		// The hub verifies it; this is to fail before anything is opened.
		s, err := readPolicy(f.policy)
		if err != nil {
			return opt, fmt.Errorf("reading the policy: %w", err)
		}
		opt.Policies = append(opt.Policies, s)
	}
	for _, o := range append([]string{f.origin}, f.allowOrigins...) {
		if err := checkOrigin(o); o != "" && err != nil {
			return opt, err
		}
	}
	for _, p := range f.proxies {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			return opt, fmt.Errorf("--trusted-proxy %q: want a network like 10.0.0.0/8", p)
		}
		opt.TrustedProxies = append(opt.TrustedProxies, prefix)
	}
	opt.Log, err = f.logger(stderr)
	return opt, err
}

// checkOrigin takes scheme and host alone: no path, and no pattern.
func checkOrigin(o string) error {
	u, err := url.Parse(o)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || o != u.Scheme+"://"+u.Host || !plainHost(u.Host) {
		return fmt.Errorf("origin %q: want scheme and host alone, like https://example.org", o)
	}
	return nil
}

func plainHost(host string) bool {
	for _, c := range host {
		if c == '*' || c == '?' || c == '\\' {
			return false
		}
	}
	return true
}

func (f *serveFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %q: want debug, info, warn or error", f.logLevel)
	}
	opt := &slog.HandlerOptions{Level: level}
	switch f.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, opt)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opt)), nil
	}
	return nil, fmt.Errorf("--log-format %q: want text or json", f.logFormat)
}

func (f *serveFlags) listener() (net.Listener, string, error) {
	if (f.tlsCert == "") != (f.tlsKey == "") {
		return nil, "", errors.New("--tls-cert and --tls-key go together")
	}
	var config *tls.Config
	if f.tlsCert != "" {
		pair, err := tls.LoadX509KeyPair(f.tlsCert, f.tlsKey)
		if err != nil {
			return nil, "", fmt.Errorf("reading the TLS certificate: %w", err)
		}
		// WebSockets are upgraded from HTTP/1.1.
		config = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	}
	l, err := net.Listen("tcp", f.listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, "", fmt.Errorf("listening on %s: another program listens there: end it, or choose another --listen address", f.listen)
	case err != nil:
		return nil, "", fmt.Errorf("listening on %s: %w", f.listen, err)
	case config != nil:
		return tls.NewListener(l, config), "https", nil
	}
	return l, "http", nil
}

// greet says what runs, for whoever started it.
func (f *serveFlags) greet(w io.Writer, h *hub.Hub, address string) {
	p := h.Policy()
	fmt.Fprintf(w, "hub key    %s\n", h.Key())
	f.log.greet(w, h)
	fmt.Fprintf(w, "policy     version %d, until %s\n", p.Version, p.Expires)
	for _, r := range p.Researchers {
		fmt.Fprintf(w, "researcher %s signs %s with %s\n", r.Name, r.Prefix, r.Key)
	}
	if f.oneNetwork {
		fmt.Fprintln(w, "WARNING    --unsafe-one-network: one machine can make results alone; never where results matter")
	}
	fmt.Fprintf(w, "listening  %s\n", address)
}
