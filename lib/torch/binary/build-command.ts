/** Returns the command that builds the addon, for the user's package manager: with Plug'n'Play, npx has no directory to look in. */
export function buildCommand(): string {
  return process.versions.pnp === undefined ? "npx neuron-blip build" : "yarn neuron-blip build";
}

/** Returns the command that installs this package with its optional dependencies. */
export function installCommand(): string {
  return process.versions.pnp === undefined ? "npm install --include=optional neuron-blip" : "yarn add neuron-blip";
}
