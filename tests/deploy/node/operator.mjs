// Checks the Prometheus operator's objects (JSON, one a line, on standard input) against the operator's own schema.
import { readFileSync } from "node:fs";
import * as v1 from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const object = JSON.parse(line);
  new v1[object.kind](object).validate();
}
