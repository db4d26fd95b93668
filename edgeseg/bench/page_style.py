"""How the page looks: light and dark, wide and on a phone; nothing is fetched."""

STYLE = """
:root { color-scheme: light dark; --paper: #fbfbfa; --card: #fff; --ink: #1b1f24; --soft: #5c6670; --line: #dfe3e6;
  --good: #1a7f4b; --bad: #c0342b; --c0: #0b6bcb; --c1: #d9730d; --c2: #2a8f5b; --c3: #a63a9e; --c4: #8a6d00;
  --c5: #5b6770; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --card: #1c2024; --ink: #e8eaec; --soft: #9aa4ad;
  --line: #31373d; --good: #4cc38a; --bad: #ff6f61; --c0: #5aa9ff; --c1: #ffa24c; --c2: #56d39a; --c3: #e28ddb;
  --c4: #e0c040; --c5: #9fb0bd; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 0 0 .6rem; overflow-wrap: anywhere; }
p { margin: .3rem 0 .8rem; }
.soft, figcaption, .note { color: var(--soft); font-size: .875rem; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1rem 0; }
.tile, section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .9rem 1rem; }
section { margin: .9rem 0; }
.tile b { display: block; font-size: 1.4rem; line-height: 1.2; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .875rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
.heed { border-left: .3rem solid var(--c1); } .heed.failed { border-color: var(--bad); }
ul { margin: 0; padding-left: 1.1rem; } li { margin: .25rem 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; min-width: 100%; }
th, td { text-align: right; padding: .3rem .45rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { color: var(--soft); font-weight: 500; } tr:last-child td { border-bottom: 0; }
figure { margin: 0; } svg { display: block; width: 100%; overflow: visible; }
.plot { display: grid; grid-template-columns: auto 1fr; column-gap: .5rem; }
.plot svg { height: 13rem; border-left: 1px solid var(--line); border-bottom: 1px solid var(--line); }
.y, .x { color: var(--soft); font-size: .8rem; font-variant-numeric: tabular-nums; display: flex;
  justify-content: space-between; }
.y { flex-direction: column; text-align: right; } .x { grid-column: 2; padding-top: .2rem; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .875rem; margin: .5rem 0 0; }
.key i, .bar i { display: inline-block; width: .75rem; height: .75rem; border-radius: .15rem; margin-right: .35rem; }
.bars { display: grid; gap: .7rem; } .bar svg { height: 1.1rem; }
.bar div { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; font-size: .9rem; }
.bar span:last-child { color: var(--soft); font-variant-numeric: tabular-nums; }
"""
