// Where things are. The tests are started in webworker.

import { resolve } from "node:path";

export const root = resolve("..");
