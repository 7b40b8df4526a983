// Failures: why something was refused, by class (docs/spec/statement.md,
// section "Opening a release"). Logs, the panel and vectors name the class.

export type Check =
  | "too_large"
  | "signature_malformed"
  | "signature_legacy"
  | "signature_unknown_key"
  | "signature_invalid"
  | "encoding"
  | "bounds"
  | "expiry"
  | "name_prefix"
  | "ceiling"
  | "threshold"
  | "policy_chain"
  | "policy_version"
  | "rollback"
  | "index_missing"
  | "halted"
  | "revoked"
  | "floor"
  | "statement_sha256"
  | "module_length"
  | "module_sha256"
  | "input"
  | "checkpoint"
  | "log_proof"
  | "log_signature"
  | "log_inclusion"
  | "log_witness";

/** A check that failed. Nothing ran, or runs, because of it. */
export class Failure extends Error {
  constructor(
    readonly check: Check,
    message: string,
  ) {
    super(message);
    this.name = "Failure";
  }
}

const sentences: Record<Check, string> = {
  too_large: "The hub sent more than a statement may hold.",
  signature_malformed: "The signature file is damaged or not in minisign's format.",
  signature_legacy: "The signature uses minisign's old algorithm, which is not accepted.",
  signature_unknown_key: "The program is signed by a key that this page does not trust.",
  signature_invalid: "The statement was changed after it was signed, or somebody else signed it.",
  encoding: "The signed statement is not written in the one form that is accepted.",
  bounds: "The signed statement asks for something outside the allowed bounds.",
  expiry: "The signed statement has expired, or this computer's clock is wrong.",
  name_prefix: "The researcher's key may not sign programs of this name.",
  ceiling: "The program asks for more than the policy allows its researcher.",
  threshold: "Not enough of the root keys that this page trusts have signed the policy.",
  policy_chain: "The policies that the hub sent do not follow one another.",
  policy_version: "The hub sent an old policy together with a newer index.",
  rollback: "The hub sent something older than was seen before.",
  index_missing: "The hub has no index, so nobody says what is still good.",
  halted: "Everything is halted by whoever keeps the index.",
  revoked: "This program, order or key has been revoked.",
  floor: "This version of the program is too old to be run.",
  statement_sha256: "The hub sent another statement than the one it announced.",
  module_length: "The program is longer or shorter than the researcher signed.",
  module_sha256: "The program is not the one that the researcher signed.",
  input: "The input is not the one that the researcher signed for this task.",
  log_proof: "The proof that this release is in the public log is damaged.",
  log_signature: "The proof is not of the public log that this page trusts.",
  log_inclusion: "The public log does not have this release.",
  log_witness: "Too few witnesses vouch for the public log.",
  checkpoint: "What another visitor did of this task is not as that visitor signed it.",
};

/** What a failed check means, in a sentence for the visitor. */
export function explain(check: string): string {
  const known = Object.entries(sentences).find(([name]) => name === check);
  return known?.[1] ?? "A check failed.";
}
