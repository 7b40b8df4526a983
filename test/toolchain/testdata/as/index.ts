// A program that tries what programs try: the first argument says what.

function input(): void {
  const part = new ArrayBuffer(1000);
  let sum: u32 = 0;
  let n = 0;
  for (let got = process.stdin.read(part); got > 0; got = process.stdin.read(part)) {
    const bytes = Uint8Array.wrap(part, 0, got);
    for (let i = 0; i < got; i++) sum = sum * 31 + bytes[i];
    n += got;
  }
  console.log(`${n} bytes, sum ${sum}, then ${process.stdin.read(part)}`);
}

function random(): void {
  const b = new Uint8Array(8);
  crypto.getRandomValues(b);
  console.log(`${b} ${Math.random()}`);
}

function deep(n: i32): i32 {
  return n == 0 ? 0 : 1 + deep(n - 1) * (n & 1023 ? 1 : 2);
}

const args = process.argv;
const what = args.length > 1 ? args[1] : "hello";
if (what == "hello") console.log("hello");
else if (what == "input") input();
else if (what == "clocks") console.log(`${Date.now()} ${process.hrtime() < process.hrtime()} ${performance.now() > 0}`);
else if (what == "random") random();
else if (what == "args") console.log(`${args[0]} ${args.length} ${args[2]} ${process.env.size}`);
else if (what == "exit") process.exit(7);
else if (what == "panic") throw new Error("ouch");
else if (what == "index") console.log(`${new Array<i32>(3)[args.length + 3]}`);
else if (what == "trace") trace("traced", 1, 2.5);
else if (what == "recurse") console.log(`${deep(1 << 24)}`);
