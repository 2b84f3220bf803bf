/** Looks for the programs that these tests run. */
import { needPrograms } from "./programs.js";

needPrograms("test:service", ["haproxy", "nginx", "promtool", "chromium"]);
