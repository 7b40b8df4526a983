// Numbers for people.

/** Fuel in three figures and a unit. */
export function amount(n: number): string {
  const units = ["", " k", " M", " G", " T", " P"];
  let i = 0;
  while (n >= 999.5 && i < units.length - 1) [n, i] = [n / 1000, i + 1];
  return (i === 0 || n >= 99.95 ? n.toFixed(0) : n.toPrecision(3)) + units[i];
}
