/** The look of `/`. */
import { pageColors } from './colors.js'

export const style = `${pageColors}
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); }
a { color: var(--accent); } code, pre { font: 13px/1.5 ui-monospace, monospace; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; align-items: baseline; padding: .9rem 1.25rem; border-bottom: 1px solid var(--line); background: var(--card); }
header h1 { font-size: 1.15rem; margin: 0 auto 0 0; } header nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; }
main { display: grid; grid-template-columns: minmax(17rem, 24rem) minmax(0, 1fr); gap: 1.25rem; padding: 1.25rem; max-width: 90rem; margin: 0 auto; align-items: start; }
.column { display: grid; gap: 1.25rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.1rem; min-width: 0; }
h2 { font-size: .8rem; letter-spacing: .06em; text-transform: uppercase; color: var(--dim); margin: 0 0 .6rem; font-weight: 600; }
h3 { font-size: 1.2rem; margin: 0; overflow-wrap: anywhere; } h4 { margin: 1.2rem 0 .4rem; font-size: .9rem; }
ul { list-style: none; margin: 0; padding: 0; } p { margin: .4rem 0; overflow-wrap: anywhere; }
.dim { color: var(--dim); } .small { font-size: .85rem; } .row { display: flex; gap: .6rem; align-items: baseline; } .row > :first-child { margin-right: auto; min-width: 0; overflow-wrap: anywhere; }
.task { display: block; padding: .6rem .7rem; margin: 0 -.7rem; border-radius: 8px; color: inherit; text-decoration: none; }
.task:hover { background: var(--back); } .task[aria-current] { background: var(--back); box-shadow: inset 3px 0 0 var(--accent); }
.task strong { font-weight: 600; } .together { white-space: nowrap; }
.bar { display: flex; height: 6px; border-radius: 3px; overflow: hidden; background: var(--line); margin: .4rem 0 .15rem; }
.bar span { min-width: 0; }
.chip { white-space: nowrap; font-size: .8rem; font-weight: 600; color: var(--idle); }
.chip::before { content: ''; display: inline-block; width: .55em; height: .55em; margin-right: .4em; border-radius: 50%; background: currentColor; }
.good { color: var(--good); } .busy { color: var(--busy); } .wait { color: var(--wait); } .bad { color: var(--bad); }
.bar .good { background: var(--good); } .bar .busy { background: var(--busy); } .bar .wait { background: var(--wait); } .bar .bad { background: var(--bad); }
.subtask { border-top: 1px solid var(--line); padding: .6rem 0; } .subtask:first-child { border-top: 0; }
.facts { display: flex; flex-wrap: wrap; gap: 0 1.1rem; }
.why { border-left: 3px solid var(--wait); padding-left: .6rem; }
details { margin: .3rem 0; } summary { cursor: pointer; color: var(--accent); width: fit-content; }
pre { margin: .4rem 0; padding: .7rem; overflow: auto; max-height: 24rem; background: var(--back); border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere; }
#notice { margin: 1.25rem auto 0; max-width: 87.5rem; width: calc(100% - 2.5rem); border-color: var(--wait); }
#notice form { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; }
input, button, textarea { font: inherit; padding: .35rem .7rem; border: 1px solid var(--line); border-radius: 6px; background: var(--back); color: var(--text); }
input { min-width: min(22rem, 100%); } button { background: var(--accent); border-color: var(--accent); color: var(--card); cursor: pointer; }
.actions { display: flex; flex-wrap: wrap; gap: .4rem; } .actions button { padding: .15rem .6rem; font-size: .85rem; } button:disabled { opacity: .5; cursor: default; }
button.plain { background: var(--back); border-color: var(--line); color: var(--text); }
.review { border-left: 3px solid var(--wait); padding-left: .6rem; margin: .6rem 0; }
dialog { background: var(--card); color: var(--text); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.1rem; width: min(32rem, calc(100% - 2rem)); }
dialog::backdrop { background: #0008; } dialog label { display: grid; gap: .25rem; margin: .6rem 0; } textarea { width: 100%; resize: vertical; font-family: ui-monospace, monospace; }
section:empty, [hidden] { display: none !important; }
@media (max-width: 52rem) { main { grid-template-columns: minmax(0, 1fr); padding: .75rem; gap: .75rem; } .column { display: contents; } #tasks { order: 1; } #task { order: 2; scroll-margin-top: .75rem; } #workers { order: 3; } #agents { order: 4; } }
`
