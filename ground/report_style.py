"""The style sheet of a report: one column, figures that line up, light and dark, and paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #fbfaf7; --card: #ffffff; --ink: #1d2329; --soft: #5c666f; --rule: #dcd9d0; --faint: #e8e5dc;
  --blue: #1f5f99; --blue-soft: #b9d2e8; --orange: #b4540a; --red: #b3261e; --green: #2c7a4b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14181c; --card: #1b2026; --ink: #e6e3dc; --soft: #9aa5ae; --rule: #333b43; --faint: #2a323a;
    --blue: #7db4e6; --blue-soft: #2f4c67; --orange: #eda45f; --red: #f0857b; --green: #7cc49a;
  }
}
* { box-sizing: border-box; }
html { font-size: 16px; -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 3rem 1.5rem 5rem; max-width: 64rem; background: var(--page); color: var(--ink);
  font: 1rem/1.55 "Charter", "Bitstream Charter", "Source Serif 4", "Liberation Serif", Georgia, serif;
}
h1, h2, h3, table, nav, .value, .label, .badge, dt, svg text, .key, figcaption, .small {
  font-family: "Inter", "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
}
h1 { font-size: 2rem; line-height: 1.15; margin: 0 0 .4rem; letter-spacing: -.015em; }
h2 {
  font-size: 1.25rem; margin: 3.2rem 0 .9rem; padding-top: .9rem; border-top: 2px solid var(--ink);
  letter-spacing: -.01em;
}
h3 { font-size: 1rem; margin: 1.8rem 0 .5rem; }
p { margin: .5rem 0 .8rem; max-width: 46rem; }
.lead { font-size: 1.1rem; color: var(--soft); }
.small, figcaption { font-size: .8rem; color: var(--soft); line-height: 1.45; }
code, .hash { font: .82em/1.4 "JetBrains Mono", "Liberation Mono", Consolas, monospace; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .85rem; margin: 1.4rem 0 0; }
nav a { color: var(--blue); text-decoration: none; white-space: nowrap; }
nav a:hover { text-decoration: underline; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13.5rem, 1fr)); gap: 1rem; margin: 1.6rem 0; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 6px; padding: 1rem 1.1rem .9rem; }
.label { font-size: .8rem; color: var(--soft); }
.value {
  font-size: 2rem; font-weight: 650; line-height: 1.2; font-variant-numeric: tabular-nums; letter-spacing: -.02em;
}
.card .small { font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; margin: .8rem 0 1.2rem; }
table { border-collapse: collapse; width: 100%; font-size: .82rem; font-variant-numeric: tabular-nums lining-nums; }
caption { text-align: left; color: var(--soft); font-size: .82rem; padding-bottom: .4rem; }
th {
  font-weight: 600; font-size: .76rem; color: var(--soft); text-align: left; vertical-align: bottom; line-height: 1.3;
}
th, td { padding: .34rem .9rem .34rem 0; border-bottom: 1px solid var(--rule); }
thead th { border-bottom: 1.5px solid var(--ink); }
td { vertical-align: top; }
th.n, td.n { text-align: right; padding: .34rem 0 .34rem .9rem; white-space: nowrap; }
td.n:last-child, th.n:last-child { padding-right: .2rem; }
dl { display: grid; grid-template-columns: minmax(9rem, max-content) 1fr; gap: .3rem 1.4rem; margin: .8rem 0; }
dt { font-size: .82rem; color: var(--soft); padding-top: .1rem; }
.tight { grid-template-columns: repeat(2, max-content minmax(8rem, 1fr)); font-size: .85rem; gap: .15rem 1.2rem; }
dd { margin: 0; overflow-wrap: anywhere; }
.missing { color: var(--soft); border-left: 3px solid var(--rule); padding: .1rem 0 .1rem .9rem; font-style: italic; }
.fault { color: var(--red); border-left: 3px solid var(--red); padding: .1rem 0 .1rem .9rem; }
.badge { font-size: .74rem; font-weight: 600; padding: .1rem .45rem; border-radius: 4px; background: var(--faint); }
.good { color: var(--green); } .bad { color: var(--red); } .part { color: var(--orange); }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); gap: 1.4rem 1.2rem; }
figure { margin: 0; }
img { display: block; width: 100%; max-width: 13rem; height: auto; border: 1px solid var(--rule); border-radius: 4px; }
figcaption { margin-top: .45rem; }
figcaption b { color: var(--ink); font-size: .86rem; }
.lost {
  display: grid; grid-template-columns: 13rem 1fr; gap: 0 1.6rem; padding: 1rem 0; border-bottom: 1px solid var(--rule);
}
.lost p { margin-top: 0; }
.plots { display: flex; flex-wrap: wrap; gap: 1.5rem; }
svg.plot { width: 100%; max-width: 24rem; height: auto; }
svg text { fill: var(--soft); font-size: 11.5px; }
.grid { stroke: var(--faint); stroke-width: 1; } .frame { fill: none; stroke: var(--rule); }
.curve { fill: none; stroke: var(--blue); stroke-width: 2; stroke-linejoin: round; }
circle.mark { fill: var(--blue); stroke: var(--page); stroke-width: 1.5; }
circle.veto { fill: var(--red); stroke: var(--page); stroke-width: 1.5; }
circle.confirm { fill: var(--green); stroke: var(--page); stroke-width: 1.5; }
circle.other { fill: var(--page); stroke: var(--orange); stroke-width: 2; }
svg.bar { width: 8.75rem; height: 1rem; vertical-align: -.15rem; } svg.wide { width: 11.25rem; }
.track { stroke: var(--faint); stroke-width: 1.5; } .range { stroke: var(--blue); stroke-width: 3; opacity: .55; }
.thin { stroke-width: 1.2; opacity: .8; } .dot { fill: var(--blue); }
.key { font-size: .78rem; color: var(--soft); } .key span { margin-right: 1.2rem; white-space: nowrap; }
.key i { display: inline-block; width: .65rem; height: .65rem; border-radius: 50%; margin-right: .3rem; }
i.veto { background: var(--red); } i.confirm { background: var(--green); }
i.other { border: 2px solid var(--orange); } i.mark { background: var(--blue); }
@media (max-width: 38rem) {
  .tight { grid-template-columns: max-content 1fr; }
  .lost { grid-template-columns: 1fr; } body { padding: 1.5rem 1rem 3rem; }
}
@page { margin: 16mm 14mm; }
@media print {
  :root {
    --page: #fff; --card: #fff; --ink: #000; --soft: #444; --rule: #bbb; --faint: #e6e6e6;
    --blue: #1f5f99; --blue-soft: #b9d2e8; --orange: #b4540a; --red: #b3261e; --green: #2c7a4b;
  }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav { display: none; }
  h2 { break-after: avoid; } h3 { break-after: avoid; }
  tr, figure, .card, .lost { break-inside: avoid; }
  .scroll { overflow: visible; }
}
"""
