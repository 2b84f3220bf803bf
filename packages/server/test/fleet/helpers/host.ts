/** Looks for the programs that these tests run. */
import { needPrograms } from "../../service/helpers/programs.js";

needPrograms("test:fleet", ["redis-server", "nats-server", "podman", "runc", "debootstrap", "kubectl", "promtool"]);
