// The chain of trust: the shared vectors, policy → index → release or order.

import { shared } from "./vectors.ts";

shared("trust");
