import { readFileSync } from "node:fs";
import test from "node:test";
import { Visitor } from "./browser.ts";
import { root } from "./paths.ts";
import { ScriptedHub } from "./scripted.ts";
import { release, Signer } from "./sign.ts";

test("smoke", async () => {
  const signer = new Signer();
  const hub = new ScriptedHub(signer.text);
  const url = await hub.start();
  const module = readFileSync(`${root}/payloads/factor/factor.metered.wasm`);
  const r = hub.publish(release(module), signer, module);
  for (let i = 0; i < 20; i++) hub.lend({ release: r, input: Buffer.from("7328499434\n3792814921\n") });
  const v = await Visitor.arrive();
  try {
    await v.page.goto(url);
    await v.page.screenshot({ path: "/tmp/s1.png" });
    await v.start.click();
    await v.page.waitForTimeout(1500);
    await v.page.screenshot({ path: "/tmp/s2.png" });
    console.log(await v.status.textContent(), hub.results.length, hub.returns, v.complaints, v.requests);
    await v.stop.click();
    await v.page.waitForTimeout(500);
    await v.page.screenshot({ path: "/tmp/s3.png" });
    console.log(await v.status.textContent(), await v.silences(), await v.compiled(), v.workers, hub.results.length, hub.returns, v.complaints);
  } finally {
    await v.leave();
    hub.stop();
  }
});
