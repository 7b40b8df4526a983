// The panel for people: keyboard, phone, contrast, and what is said aloud.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, test } from "node:test";
import { Visitor } from "./browser.ts";
import { root } from "./paths.ts";
import { ScriptedHub } from "./scripted.ts";
import { release, Signer } from "./sign.ts";

const loop = readFileSync(`${root}/payloads/hostile/loop/loop.metered.wasm`);
const signer = new Signer();
const leaving: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const f of leaving.splice(0).reverse()) await f();
});

async function open(options: Parameters<typeof Visitor.arrive>[0] = {}): Promise<[Visitor, ScriptedHub]> {
  const hub = new ScriptedHub(signer);
  leaving.push(() => hub.stop());
  const url = await hub.start();
  const v = await Visitor.arrive(options);
  leaving.push(() => v.leave());
  await v.page.goto(url);
  await v.state("off");
  const digest = hub.publish(release(loop), signer, loop);
  hub.lend({ release: digest, input: Buffer.from("1\n") });
  return [v, hub];
}

/** What has the keyboard's focus, by role and name. */
async function focused(v: Visitor): Promise<string> {
  return v.page.evaluate(() => {
    const e = document.querySelector("[data-state]")?.shadowRoot?.activeElement;
    return e === null || e === undefined ? "" : `${e.tagName.toLowerCase()} ${e.textContent === "" || e instanceof HTMLSelectElement ? e.id : e.textContent}`;
  });
}

test("the keyboard alone starts, changes, and stops", async () => {
  const [v] = await open();
  const seen: string[] = [];
  for (let i = 0; i < 12 && !seen.includes("button Start"); i++) {
    await v.page.keyboard.press("Tab");
    seen.push(await focused(v));
  }
  assert.deepEqual(seen.filter((s) => s !== ""), ["input share", "select slots", "input hidden", "button Start"]);
  const outline = await v.start.evaluate((b) => getComputedStyle(b).outlineStyle);
  assert.equal(outline, "solid", "the focus is seen");
  await v.page.keyboard.press("Enter");
  await v.state("running");
  assert.equal(await focused(v), "button Stop", "the focus goes along");
  await v.page.keyboard.press("Tab");
  assert.equal(await focused(v), "input share");
  await v.page.keyboard.press("ArrowRight");
  assert.equal(await v.page.getByLabel("Share of each core").inputValue(), "30");
  await v.page.keyboard.press("Shift+Tab");
  await v.page.keyboard.press("Space");
  await v.state("stopped");
  assert.equal(await focused(v), "button Start");
});

test("the live region speaks when the state changes, and not with every number", async () => {
  const [v] = await open();
  await v.page.evaluate(() => {
    const region = document.querySelector("[data-state]")!.shadowRoot!.querySelector("[role=status]")!;
    const said: string[] = ((globalThis as unknown as Record<string, string[]>)["said"] = []);
    new MutationObserver(() => said.push(region.textContent ?? "")).observe(region, { childList: true, characterData: true, subtree: true });
  });
  await v.start.click();
  await v.state("running");
  await v.page.waitForTimeout(1500);
  await v.stop.click();
  await v.state("stopped");
  const said = await v.page.evaluate(() => (globalThis as unknown as Record<string, string[]>)["said"]!);
  assert.equal(said.filter((s) => s === "Running a verified program.").length, 1);
  assert.equal(said.at(-1), "Stopped. Nothing runs.");
  assert.ok(said.length <= 7, said.join(" | "));
  assert.equal(await v.status.getAttribute("aria-live"), "polite");
});

for (const width of [320, 360, 390]) {
  test(`a screen of ${width} pixels needs no scrolling sideways`, async () => {
    const [v] = await open({ width, height: 740 });
    const scroll = (): Promise<number> => v.page.evaluate(() => document.documentElement.scrollWidth);
    assert.equal(await scroll(), width);
    await v.start.click();
    await v.state("running");
    assert.equal(await scroll(), width);
    const box = await v.stop.boundingBox();
    assert.ok(box !== null && box.height >= 44 && box.x >= 0 && box.x + box.width <= width, JSON.stringify(box));
  });
}

for (const scheme of ["light", "dark"] as const) {
  test(`all text has contrast in the ${scheme} scheme, in every state`, async () => {
    const [v, hub] = await open({ scheme });
    await contrast(v, `${scheme}, off`);
    await v.start.click();
    await v.state("running");
    await contrast(v, `${scheme}, running`);
    hub.broadcast({ type: "kill", scope: "all", target: "", reason: "a test" });
    await v.state("halted");
    await contrast(v, `${scheme}, halted`);
    hub.broadcast({ type: "resume" });
    hub.files.forEach((_, path) => path.startsWith("/s/") && hub.files.set(path, Buffer.from("x")));
    await v.page.reload();
    await v.until("the end of the connection", () => hub.peers.length === 0); // or it would get the next lease
    await v.start.click();
    hub.lend({ release: "ab".repeat(32), input: Buffer.from("1\n") });
    hub.files.set(`/s/${"ab".repeat(32)}`, Buffer.from("x"));
    hub.files.set(`/s/${"ab".repeat(32)}.minisig`, Buffer.from("x"));
    await v.state("refused");
    await contrast(v, `${scheme}, refused`);
  });
}

/** WCAG 2: 4.5 to 1, for every text that shows. */
async function contrast(v: Visitor, where: string): Promise<void> {
  await v.page.waitForTimeout(50);
  const poor = await v.page.evaluate(() => {
    type Color = [number, number, number, number];
    const color = (s: string): Color => {
      const n = (s.match(/[\d.]+/g) ?? []).map(Number);
      return [n[0] ?? 0, n[1] ?? 0, n[2] ?? 0, n[3] ?? 1];
    };
    const luminance = (c: Color): number => {
      const [r, g, b] = c.slice(0, 3).map((x) => (x / 255 <= 0.03928 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
    };
    const behind = (e: Element | null): Color => {
      for (; e !== null; e = e.parentElement) {
        const c = color(getComputedStyle(e).backgroundColor);
        if (c[3] === 1) return c;
      }
      return [255, 255, 255, 1];
    };
    const shadow = document.querySelector("[data-state]")!.shadowRoot!;
    const walker = document.createTreeWalker(shadow, NodeFilter.SHOW_TEXT);
    const poor: string[] = [];
    let looked = 0;
    for (let n = walker.nextNode(); n !== null; n = walker.nextNode()) {
      const e = n.parentElement;
      if (e === null || n.textContent?.trim() === "" || !e.checkVisibility()) continue;
      looked++;
      const [a, b] = [luminance(color(getComputedStyle(e).color)), luminance(behind(e))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (ratio < 4.5) poor.push(`${n.textContent}: ${ratio.toFixed(2)}`);
    }
    return looked > 10 ? poor : ["too little text was found"];
  });
  assert.deepEqual(poor, [], where);
}

test("with reduced motion nothing moves", async () => {
  const [v] = await open();
  await v.page.emulateMedia({ reducedMotion: "reduce" });
  await v.start.click();
  await v.state("running");
  const animations = await v.page.evaluate(() => document.getAnimations().length + document.querySelector("[data-state]")!.shadowRoot!.getAnimations().length);
  assert.equal(animations, 0);
});

test("an embedding page that names no keys gets an error, and no panel", async () => {
  const hub = new ScriptedHub({ text: "", sign: () => Buffer.alloc(0) });
  leaving.push(() => hub.stop());
  const url = await hub.start();
  const v = await Visitor.arrive();
  leaving.push(() => v.leave());
  await v.page.goto(url);
  await v.until("the error", () => v.complaints.length > 0);
  assert.match(v.complaints[0]!, /data-root names no keys/);
  assert.equal(await v.start.count(), 0);
});
