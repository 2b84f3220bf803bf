/** Checks a marker. @throws Error for a marker that neither begins a scan nor may stand between scans */
export function checkMarker(marker: number): void {
  const known = marker === 0xc4 || marker === 0xcc || (marker >= 0xda && marker <= 0xdd);
  if (known || (marker >= 0xe0 && marker <= 0xef) || marker === 0xfe) return;
  throw damaged(`a marker 0xff${marker.toString(16).padStart(2, "0")} where there must be none`);
}

export function damaged(what: string): Error {
  return new Error(`its JPEG data is damaged (${what})`);
}
