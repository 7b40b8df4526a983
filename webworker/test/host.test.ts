// The deterministic host: the shared vectors of the ABI.

import { shared } from "./vectors.ts";

shared("abi");
