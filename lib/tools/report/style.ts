/** The page's CSS, for screen, dark screen and paper. */
export const STYLE = `
  :root { --ink: #1c2024; --soft: #60666d; --line: #dfe2e6; --paper: #fff; --back: #f6f7f8; --bar: #2f6fb5; --good: #1a7f4b; --bad: #b3261e; --look: #8a5a00; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e6e8ea; --soft: #9aa1a9; --line: #363b41; --paper: #1b1e22; --back: #121416; --bar: #6aa5e8; --good: #4cc38a; --bad: #ff8a80; --look: #e0b050; }
  }
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: var(--ink); background: var(--back); }
  h1 { font-size: 1.5rem; margin: 0 0 1rem; }
  h2 { font-size: 1.1rem; margin: 0 0 .75rem; }
  p { margin: .5rem 0; }
  section { background: var(--paper); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.25rem; margin: 1rem 0; }
  .verdict { font-size: 1.15rem; font-weight: 600; padding: .75rem 1rem; border-left: .4rem solid; background: var(--paper); border-radius: .3rem; }
  .verdict.pass { border-color: var(--good); }
  .verdict.fail { border-color: var(--bad); }
  .caution, .cure { color: var(--look); }
  .scroll { overflow-x: auto; margin: .5rem 0; }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
  td, th { padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; text-align: left; }
  tr:last-child td { border-bottom: 0; }
  th { font-weight: 600; color: var(--soft); font-size: .85rem; }
  .figures { width: 100%; }
  .figures td { white-space: nowrap; }
  .list td:first-child { color: var(--soft); white-space: nowrap; }
  code { font-size: .85rem; white-space: nowrap; }
  .status { font-weight: 600; }
  .status.pass { color: var(--good); }
  .status.fail { color: var(--bad); }
  .status.warning { color: var(--look); }
  .status.skipped { color: var(--soft); }
  svg { display: block; width: 100%; max-width: 44rem; height: auto; margin-top: 1rem; font: 12px system-ui, sans-serif; }
  svg text { fill: var(--soft); text-anchor: middle; }
  svg text.left { text-anchor: end; }
  svg text.start { text-anchor: start; }
  svg text.value { fill: var(--ink); font-weight: 600; }
  svg .bar { fill: var(--bar); }
  svg .line { fill: none; stroke: var(--bar); stroke-width: 2; stroke-linejoin: round; }
  svg .grid { stroke: var(--line); }
  svg .axis { stroke: var(--soft); }
  svg .target { stroke: var(--look); stroke-width: 2; stroke-dasharray: 5 4; }
`;
