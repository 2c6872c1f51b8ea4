/** The colors of both pages; light or dark as the system has it. */
export const pageColors = `
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --text: #1c2330; --dim: #5c6778; --line: #dfe3ea; --accent: #2456c8;
  --good: #1b7f4b; --busy: #2456c8; --wait: #946200; --bad: #b3261e; --idle: #5c6778; }
@media (prefers-color-scheme: dark) {
  :root { --back: #12151b; --card: #1a1f28; --text: #e6e9ef; --dim: #9aa5b6; --line: #2c3440; --accent: #8ab0ff;
    --good: #5cc98d; --busy: #8ab0ff; --wait: #e3b04b; --bad: #ff8a80; --idle: #9aa5b6; }
}`
