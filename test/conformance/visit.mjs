// A site on this machine that a browser visits, and what its page tells.
import { createServer } from "node:http";

/**
 * Serves files, {path: () => [body, type]}, on a free port. What pages post is
 * given to listen; others hears of every request that is for none of the files.
 */
export async function serve(files, others = () => {}) {
  const site = { url: "", listen: () => {}, server: null, close: () => (site.server.close(), site.server.closeAllConnections()) };
  site.server = createServer((q, r) => {
    const path = decodeURIComponent(q.url);
    if (q.method === "POST" && !path.startsWith("/canary/")) {
      let body = "";
      q.on("data", (d) => (body += d)).on("end", () => (r.end(), site.listen(JSON.parse(body))));
      return;
    }
    const got = files(path);
    if (got === undefined) {
      others(q);
      r.statusCode = 404;
      return r.end();
    }
    r.setHeader("content-type", got[1]);
    r.end(got[0]);
  });
  await new Promise((resolve) => site.server.listen(0, "127.0.0.1", resolve));
  site.url = `http://127.0.0.1:${site.server.address().port}`;
  return site;
}

/** Opens a site in a browser until its page says {done}; hear gets all that it tells. Rejects when the page fails, the browser ends, or patience does. */
export async function visit(site, browser, dir, patience, hear) {
  const open = browser.open(`${site.url}/`, dir);
  try {
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${browser.name}: not done after ${patience / 60_000} minutes`)), patience);
      open.ended.then((why) => reject(new Error(`${browser.name}: ${why}`)));
      site.listen = (m) => {
        if (m.failed) reject(new Error(`${browser.name}: ${m.failed}`));
        hear(m);
        if (m.done) {
          clearTimeout(timer);
          resolve();
        }
      };
    });
  } finally {
    site.listen = () => {};
    open.close();
  }
}
