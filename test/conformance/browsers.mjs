// The browsers of this machine, to be opened on a page that tells what it finds.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const version = (command, ...args) => spawnSync(command, args, { encoding: "utf8" }).stdout?.trim().split("\n")[0] ?? "";

const running = new Set();

/** Ends every browser that is still there. */
export const closeAll = () => running.forEach((close) => close());

/** Starts a browser; close ends it with all that it started. */
function start(command, args, env = {}) {
  const child = spawn(command, args, { stdio: "ignore", detached: true, env: { ...process.env, ...env } });
  let closed = false;
  const ended = new Promise((resolve) => {
    child.on("exit", (code) => !closed && resolve(`${command} ended with ${code}`));
    child.on("error", (e) => resolve(String(e)));
  });
  const close = () => {
    closed = true;
    running.delete(close);
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {} // it has ended
  };
  running.add(close);
  return { ended, close };
}

const profile = (dir) => mkdtempSync(join(dir, "profile-"));

function chromium(url, dir, ...flags) {
  return start("/usr/bin/chromium", ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", `--user-data-dir=${profile(dir)}`, ...flags, url]);
}

function firefox(url, dir) {
  const p = profile(dir);
  const prefs = { "browser.shell.checkDefaultBrowser": false, "datareporting.policy.dataSubmissionEnabled": false, "app.update.enabled": false };
  writeFileSync(join(p, "user.js"), Object.entries(prefs).map(([k, v]) => `user_pref(${JSON.stringify(k)}, ${v});\n`).join(""));
  return start("firefox-esr", ["--headless", "--no-remote", "--profile", p, url]);
}

const miniBrowser = ["4.1", "4.0"].map((v) => `/usr/lib/x86_64-linux-gnu/webkit2gtk-${v}/MiniBrowser`).find(existsSync);

function webkit(url, dir) {
  const env = { XDG_CACHE_HOME: profile(dir), XDG_DATA_HOME: profile(dir), XDG_CONFIG_HOME: profile(dir) };
  return start("dbus-run-session", ["--", "xvfb-run", "-a", miniBrowser, "--private", url], env);
}

export const browsers = [
  { name: "Chromium", program: "/usr/bin/chromium", open: chromium, version: () => version("/usr/bin/chromium", "--version") },
  { name: "Firefox", program: "/usr/bin/firefox-esr", open: firefox, version: () => version("firefox-esr", "--version") },
  { name: "WebKit", program: miniBrowser ?? "/none", open: webkit, version: () => version("dpkg-query", "-W", "-f", "WebKitGTK ${Version}", "webkit2gtk-driver") },
];
