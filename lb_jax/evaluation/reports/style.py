"""The report's style sheet: one column of sections, light and dark, phone to laptop width."""

CSS = """
:root { color-scheme: light dark; --page: #f6f6f3; --card: #fff; --ink: #1c1c1a; --soft: #62625d; --line: #deded8;
  --accent: #2a6fc9; --good: #16794a; --bad: #b3392d;
  --image: #2a78d6; --video: #d95f26; --depth: #128a62; --thermal: #c8447f; --audio: #a97500; --imu: #5b5fc7; }
@media (prefers-color-scheme: dark) { :root { --page: #161615; --card: #20201e; --ink: #ecece8; --soft: #a3a39c;
  --line: #393936; --accent: #6aa8f5; --good: #4cc38a; --bad: #f0796d;
  --image: #5b9ff0; --video: #ec7d48; --depth: #2fb98a; --thermal: #e873a5; --audio: #d3a02b; --imu: #9a9df0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 20px 64px; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 8px 0 4px; }
h2 { font-size: 1.25rem; margin: 44px 0 4px; }
h3 { font-size: 1rem; margin: 0 0 6px; }
p { margin: 4px 0 14px; color: var(--soft); max-width: 75ch; }
dl { display: flex; flex-wrap: wrap; gap: 2px 22px; margin: 10px 0 20px; font-size: .875rem; }
dl div { display: flex; gap: 6px; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.cards { display: grid; gap: 10px; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); }
.card, .panel { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px;
  min-width: 0; }
.card .name { font-size: .875rem; font-weight: 600; overflow-wrap: anywhere; }
.card .value { font-size: 1.75rem; line-height: 1.25; font-weight: 650; font-variant-numeric: tabular-nums; }
.card small { display: block; color: var(--soft); font-size: .8125rem; line-height: 1.4; }
.card .good, .card .bad { font-weight: 600; } .good { color: var(--good) !important; }
  .bad { color: var(--bad) !important; }
.bar { position: relative; height: 6px; border-radius: 3px; background: var(--line); margin: 6px 0 8px; }
.bar i { display: block; height: 100%; border-radius: 3px; background: var(--accent); }
.bar b { position: absolute; top: -3px; width: 2px; height: 12px; background: var(--ink); }
.grid2 { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); }
.grid3 { display: grid; gap: 12px; align-items: start; grid-auto-flow: dense;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: .8125rem; margin-bottom: 4px; }
.legend i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 5px;
  vertical-align: middle; }
svg { display: block; width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 12px; }
.grid { stroke: var(--line); fill: none; } .back { fill: var(--page); } .heat { fill: var(--accent); }
svg image { image-rendering: pixelated; }
circle { fill: none; stroke-width: 1.5; }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
.s-total { stroke: var(--ink); background: var(--ink); } .s-image { stroke: var(--image); background: var(--image); }
.s-video { stroke: var(--video); background: var(--video); } .s-depth { stroke: var(--depth);
  background: var(--depth); }
.s-thermal { stroke: var(--thermal); background: var(--thermal); }
.s-audio { stroke: var(--audio); background: var(--audio); }
.s-imu { stroke: var(--imu); background: var(--imu); } .s-text { stroke: var(--soft); background: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; color: var(--soft); }
table.wide { width: 100%; } td.number { font-weight: 600; }
table.words td { text-align: left; white-space: normal; min-width: 6ch; vertical-align: top; }
table.words th { text-align: left; }
.tiles { display: grid; gap: 12px; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 420px), 1fr)); }
summary { cursor: pointer; } details.panel { margin: 0; }
.trio { display: grid; grid-template-columns: repeat(3, 1fr); gap: 8px; font-size: .75rem; line-height: 1.3; }
blockquote { margin: 0 0 4px; font-style: italic; overflow-wrap: anywhere; }
section h3 { margin-top: 18px; } .gap { margin-top: 14px; max-width: 640px; }
.panel h3 { margin-top: 0; }
table.cells { font-size: .75rem; width: 100%; }
table.cells td { text-align: center; padding: 5px 1px; min-width: 25px; }
table.cells th { padding: 5px 4px; }
table.cells th.up { vertical-align: bottom; text-align: center; padding: 5px 1px; }
@media (min-width: 760px) { .broad { grid-column: span 2; } }
th.up span { writing-mode: vertical-rl; transform: rotate(180deg); display: inline-block; max-height: 110px;
  overflow: hidden; }
td.heat { background: color-mix(in srgb, var(--accent) calc(var(--v) * 70%), var(--card)); }
table.emergent { font-size: .875rem; table-layout: fixed; min-width: 336px; }
.emergent th:not(:first-child) { text-align: center; }
.emergent td { padding: 8px 6px; } .emergent small { display: block; color: inherit; opacity: .8; }
.query { margin: 0 0 12px; } .query h3 { font-weight: 600; }
.panel > small { color: var(--soft); }
h3 small { display: block; font-weight: 400; color: var(--soft); }
.hits { display: grid; grid-template-columns: 52px repeat(5, minmax(0, 112px)); gap: 6px; align-items: start;
  margin-top: 8px; font-size: .75rem; line-height: 1.3; }
.hits > span { color: var(--soft); padding-top: 4px; }
figure { margin: 0; } figure img { display: block; width: 100%; border-radius: 6px; border: 3px solid transparent; }
figure.right img { border-color: var(--good); } figure.kin img { border: 3px dashed var(--accent); }
figcaption { overflow-wrap: anywhere; color: var(--soft); } figure.right figcaption { color: var(--good);
  font-weight: 600; }
.asked { width: 112px; } .asking { display: flex; gap: 12px; align-items: center; }
.written { display: grid; grid-template-columns: 96px minmax(0, 1fr); gap: 12px; align-items: start; }
.written img + img { margin-top: 6px; } .written p { margin: 0 0 6px; overflow-wrap: anywhere; }
.written .said { color: var(--ink); } .written .said b { font-weight: 600; color: var(--good); }
.written .said u { color: var(--bad); text-decoration: underline wavy 1px; text-underline-offset: 3px; }
.written ul { margin: 0 0 6px; padding-left: 16px; font-size: .8125rem; color: var(--soft); overflow-wrap: anywhere; }
.written.plain { grid-template-columns: minmax(0, 1fr); }
.note { font-size: .8125rem; }
.written small { font-size: .75rem; color: var(--soft); overflow-wrap: anywhere; }
.film img, .film video { display: block; width: 100%; border-radius: 6px; image-rendering: pixelated; }
.film video { max-width: 240px; aspect-ratio: 1; margin-top: 6px; background: #000; }
.film p { margin: 0 0 6px; } .film .written { grid-template-columns: auto minmax(0, 1fr); gap: 4px 10px; margin: 0 0 6px; }
.film small { font-size: .75rem; color: var(--soft); }
details { margin-top: 32px; } .film details { margin: 6px 0 8px; font-size: .8125rem; color: var(--soft); } pre { overflow-x: auto; font-size: .75rem; background: var(--card); padding: 12px;
  border-radius: 8px; }
@media (max-width: 560px) { main { padding: 16px 12px 48px; } h2 { margin-top: 32px; }
  .cards { grid-template-columns: repeat(2, minmax(0, 1fr)); } .card .value { font-size: 1.4rem; }
  .hits { grid-template-columns: repeat(5, minmax(0, 1fr)); gap: 5px; font-size: .6875rem; }
  .hits > span { grid-column: 1 / -1; }


  .chart text { font-size: 14px; } th, td { padding: 4px 7px; }
  .emergent td, .emergent th { padding: 6px 3px; font-size: .75rem; } }
"""
