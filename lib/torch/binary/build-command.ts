/** The command that builds the addon, as the user's package manager runs it: Plug'n'Play has no directory that npx would look in. */
export function buildCommand(): string {
  return process.versions.pnp === undefined ? "npx neuron-blip build" : "yarn neuron-blip build";
}

/** The command that installs this package with its optional dependencies. */
export function installCommand(): string {
  return process.versions.pnp === undefined ? "npm install --include=optional neuron-blip" : "yarn add neuron-blip";
}
