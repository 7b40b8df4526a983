// Trusted Types: pages that require them let only a policy's values become
// markup or a worker's address. The two values are our own constants.

interface Policy {
  createHTML(s: string): string;
  createScriptURL(s: string): string;
}

interface Factory {
  createPolicy(name: string, rules: Policy): Policy;
}

const same: Policy = { createHTML: (s) => s, createScriptURL: (s) => s };
let policy: Policy | null = null;

export function trustedPolicy(): Policy {
  const { trustedTypes } = globalThis as { trustedTypes?: Factory };
  // In browsers with trusted types the values are objects that only look like text to us.
  policy ??= trustedTypes?.createPolicy("countersign", same) ?? same;
  return policy;
}
