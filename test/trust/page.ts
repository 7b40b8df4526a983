// The page that each browser opens: every shared vector, by the browser's own code.

import { check, type Vector } from "../../webworker/test/checks.ts";

const post = (body: unknown): Promise<Response> => fetch("/told", { method: "POST", body: JSON.stringify(body) });

async function main(): Promise<void> {
  const folders = (await (await fetch("/vectors")).json()) as Record<string, Vector[]>;
  for (const [folder, vectors] of Object.entries(folders)) {
    const wrong: string[] = [];
    let passed = 0;
    for (const v of vectors) {
      const w = await check(folder, v);
      if (w === "") passed++;
      else if (w !== null) wrong.push(`${String(v["name"])}: ${w}`);
    }
    await post({ folder, passed, wrong });
  }
  await post({ done: true });
}

main().catch((e: unknown) => post({ failed: String(e) }));
