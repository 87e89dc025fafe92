"""core: the report's style sheet: light and dark as the reader's device prefers, one column on a phone."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #f6f4ef; --panel: #ffffff; --line: #ddd8cd; --ink: #16191d; --dim: #56606a;
  --blue: #0b62ab; --teal: #0d7f74; --amber: #a86200; --violet: #6b4fb3; --grey: #b9b3a6;
  --good: #0b6b3c; --good-ground: #dcf3e4; --bad: #b01722; --bad-ground: #fde3e2;
  --warn: #7a4d00; --warn-ground: #ffedc2;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0e1317; --panel: #171e24; --line: #2c3740; --ink: #f1f4f6; --dim: #a9b5bf;
    --blue: #77bdff; --teal: #5fd4c4; --amber: #ffc266; --violet: #bda6ff; --grey: #5a6771;
    --good: #86e0a5; --good-ground: #12301f; --bad: #ff9d94; --bad-ground: #45161a;
    --warn: #ffd479; --warn-ground: #3a2b08;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", "PingFang TC", "Noto Sans TC", sans-serif;
}
main { max-width: 68rem; margin: 0 auto; padding: 1.25rem 1rem 3rem; }
h1, h2, p, figure, dl, dd, ul { margin: 0; padding: 0; }
.kicker {
  color: var(--dim); font-size: .9rem; display: flex; flex-wrap: wrap; gap: .25rem 1rem;
  justify-content: space-between;
}
.hero { display: grid; gap: 1.25rem; margin: .75rem 0 1rem; padding: 1.5rem; border-radius: 1rem;
  background: var(--panel); border: 1px solid var(--line); border-left: .5rem solid var(--tone); }
.hero.good { --tone: var(--good); --tone-ground: var(--good-ground); }
.hero.bad { --tone: var(--bad); --tone-ground: var(--bad-ground); }
.hero.warn { --tone: var(--warn); --tone-ground: var(--warn-ground); }
h1 { font-size: 1.05rem; font-weight: 600; }
.big {
  font-size: clamp(3.2rem, 14vw, 5.5rem); line-height: 1; font-weight: 700; letter-spacing: -.03em;
  font-variant-numeric: tabular-nums;
}
.big small { font-size: .3em; font-weight: 500; letter-spacing: 0; color: var(--dim); margin-left: .4em; }
.pill {
  display: inline-block; padding: .2rem .8rem; border-radius: 99px; font-weight: 600;
  color: var(--tone); background: var(--tone-ground);
}
.hero p { max-width: 44rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(6.8rem, 1fr)); gap: .75rem 1.1rem; }
.tiles dt { color: var(--dim); font-size: .85rem; }
.tiles dd { font-size: 1.5rem; font-weight: 650; font-variant-numeric: tabular-nums; line-height: 1.25; }
.tiles dd small { font-size: .6em; font-weight: 500; color: var(--dim); }
.board { display: grid; gap: 1rem; grid-template-columns: minmax(0, 1fr); }
.card {
  background: var(--panel); border: 1px solid var(--line); border-radius: 1rem;
  padding: 1.1rem 1.2rem; min-width: 0;
}
.card.wide { grid-column: 1 / -1; }
h2 { font-size: 1.05rem; margin-bottom: .15rem; }
.card > p, figcaption { color: var(--dim); font-size: .92rem; }
figcaption { margin-bottom: .5rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--dim); font-variant-numeric: tabular-nums; }
svg text { paint-order: stroke; stroke: var(--panel); stroke-width: 3px; stroke-linejoin: round; }
svg .name { font-style: italic; }
svg .strong { fill: var(--ink); font-weight: 600; }
svg .inside { fill: var(--panel); font-weight: 600; stroke: none; }
.grid { stroke: var(--line); stroke-width: 1; }
.axis { stroke: var(--dim); stroke-width: 1; }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round; }
.line.first { stroke: var(--blue); }
.line.second { stroke: var(--teal); }
.line.third { stroke: var(--grey); stroke-dasharray: 5 4; }
.band { opacity: .16; } .band.first { fill: var(--blue); }
.limit { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 2 4; fill: none; stroke-linecap: round; }
svg .limit-name { fill: var(--bad); }
.floor { stroke: var(--grey); stroke-width: 1.5; fill: none; }
.point { fill: var(--blue); stroke: var(--panel); stroke-width: 1.5; }
.held { fill: var(--good); stroke: var(--panel); stroke-width: 1.5; }
.broken { fill: var(--panel); stroke: var(--bad); stroke-width: 2.5; }
.invalid { fill: var(--panel); stroke: var(--grey); stroke-width: 2.5; }
.full { fill: none; stroke: var(--good); stroke-width: 1.5; }
svg .point-name { fill: var(--ink); font-weight: 600; }
.hangover { fill: var(--grey); }
.vad { fill: var(--violet); }
.chunk { fill: var(--teal); }
.answer { fill: var(--amber); }
.key {
  display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; list-style: none; font-size: .88rem;
  color: var(--dim); margin-top: .4rem;
}
.key li::before {
  content: ""; display: inline-block; width: .8em; height: .8em; border-radius: 2px;
  margin-right: .4em; background: var(--tone);
}
.key .k-first { --tone: var(--blue); }
.key .k-second { --tone: var(--teal); }
.key .k-third { --tone: var(--grey); }
.key .k-hangover { --tone: var(--grey); }
.key .k-vad { --tone: var(--violet); }
.key .k-chunk { --tone: var(--teal); }
.key .k-answer { --tone: var(--amber); }
.key .k-held { --tone: var(--good); } .key .k-broken { --tone: var(--bad); }
.key .k-invalid { --tone: var(--grey); }
.level {
  display: grid; gap: .8rem 2rem; grid-template-columns: minmax(0, 1fr); list-style: none;
  margin-top: .6rem;
}
.level div {
  display: flex; justify-content: space-between; gap: 0 1rem; font-variant-numeric: tabular-nums;
  flex-wrap: wrap;
}
.level b { font-weight: 600; } .level .yes { color: var(--good); } .level .no { color: var(--bad); }
.level small { color: var(--dim); }
.level small.note { flex-basis: 100%; }
svg.gauge { height: .4rem; border-radius: 99px; overflow: hidden; margin-top: .25rem; }
.gauge .track { fill: var(--line); }
.gauge .good { fill: var(--good); }
.gauge .bad { fill: var(--bad); }
.gauge .edge { fill: var(--ink); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--dim); font-size: .92rem; padding-bottom: .4rem; }
th, td {
  text-align: left; padding: .32rem .9rem .32rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top;
}
th { font-weight: 500; } thead th { color: var(--dim); }
td { overflow-wrap: anywhere; }
td.n, th.n { text-align: right; padding-right: 0; padding-left: .9rem; white-space: nowrap; }
.indent { padding-left: 1.1rem; color: var(--dim); }
code { font: .88em ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
pre {
  margin: .5rem 0 0; padding: .7rem .9rem; border-radius: .6rem; background: var(--ground);
  white-space: pre-wrap;
}
@media (min-width: 54rem) {
  .board { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .level { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .hero { grid-template-columns: auto 1fr; align-items: end; column-gap: 3rem; }
  .hero > .tiles { grid-column: 1 / -1; }
}
@media print { body { background: #fff; } .card, .hero { break-inside: avoid; } }
"""
