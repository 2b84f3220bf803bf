import { lookup as lookUp } from "node:dns";
import type { LookupFunction } from "node:net";
import ipaddr from "ipaddr.js";

/** What is given out of IPv6 as the public network's. Elsewhere are, as ::7f00:1, ways to write IPv4 that no range is named for. */
const GLOBAL = ipaddr.parseCIDR("2000::/3");

/** Tells whether an address is one of the public network's: none of this host, its network, or a cloud's own services. */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  // An IPv4 address that is written as IPv6 is judged as what it is.
  const parsed = ipaddr.process(address);
  if (parsed.range() !== "unicast") return false;
  return parsed.kind() === "ipv4" || parsed.match(GLOBAL);
}

/** Looks up a host's name for a connection, which then goes to one of the addresses that were judged here and to no other. */
export const lookUpPublic: LookupFunction = (hostname, options, callback) => {
  lookUp(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, "", 0);
    const [first, ...others] = addresses.filter(({ address }) => isPublicAddress(address));
    if (first === undefined) {
      return callback(Object.assign(new Error("it has no public address"), { code: "ENOTPUBLIC" }), "", 0);
    }
    if (options.all) callback(null, [first, ...others]);
    else callback(null, first.address, first.family);
  });
};
