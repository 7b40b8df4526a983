// Text that build.mjs puts into a bundle.
declare module "embed:*" {
  const text: string;
  export default text;
}
