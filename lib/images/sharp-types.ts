/** The part of sharp that is used: sharp's own types would be needed by everyone who compiles against this package. */
export type Sharp = (file: Uint8Array, options: object) => SharpPicture;

export interface SharpPicture {
  metadata(): Promise<SharpMetadata>;
  pipelineColourspace(space: string): SharpPicture;
  toColourspace(space: string): SharpPicture;
  removeAlpha(): SharpPicture;
  raw(options?: { depth?: "uchar" | "ushort" | "float" | "uint" | "int" | "short" | "char" | "double" }): SharpPicture;
  toBuffer(options: { resolveWithObject: true }): Promise<{
    data: Buffer;
    info: { width: number; height: number; channels: number };
  }>;
}

export interface SharpMetadata {
  readonly space?: string;
  readonly depth?: string;
  readonly channels?: number;
}
