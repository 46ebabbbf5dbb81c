// The style sheet of a page.
#pragma once

namespace switchyard {

// Counts are coloured by ten steps of the viridis scale (S. van der Walt, N. Smith, 2015), whose
// lightness grows throughout; phases and curves by the palette of M. Okabe and K. Ito (2008), which
// stays distinct for the colour-blind, and curves by their dashes too.
inline constexpr char kPageStyle[] = R"css(
:root{color-scheme:light dark;--ink:#1b1f24;--muted:#59636e;--line:#d5dae0;--page:#ffffff;
--panel:#f4f6f8}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--muted:#9aa5b1;--line:#39424c;
--page:#0f1419;--panel:#182028}}
body{margin:0 auto;max-width:1180px;padding:16px 24px 64px;background:var(--page);
color:var(--ink);font:14px/1.45 system-ui,sans-serif}
h1{font-size:24px}
h2{font-size:19px;margin-top:48px;border-top:2px solid var(--line);padding-top:16px;
overflow-wrap:anywhere}
h3{font-size:15px;margin:28px 0 8px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:3px 10px;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap}
th{background:var(--panel);font-weight:600}
th:empty{padding:0;border:0}
.n{text-align:right}
.note{color:var(--muted);font-size:13px;max-width:80ch}
summary{cursor:pointer;margin:20px 0 8px;font-weight:600}
svg{display:block}
svg text{font:12px system-ui,sans-serif;fill:var(--ink)}
svg .m{fill:var(--muted)}
.a{stroke:var(--muted)}
.g{stroke:var(--line)}
.edge{stroke:#000000;stroke-width:3;fill:none}
.edge-in{stroke:#ffffff;stroke-width:1.4;fill:none}
.window{fill:none;stroke:var(--ink);stroke-width:1.5}
.hn{fill:#8b929a}
.h0{fill:#440154}.h1{fill:#482878}.h2{fill:#3e4989}.h3{fill:#31688e}.h4{fill:#26828e}
.h5{fill:#1f9e89}.h6{fill:#35b779}.h7{fill:#6ece58}.h8{fill:#b5de2b}.h9{fill:#fde725}
.p-attention{fill:#0072b2}.p-dense{fill:#56b4e9}.p-gate{fill:#f0e442}.p-exchange{fill:#cc79a7}
.p-experts{fill:#009e73}.p-loading,.p-wait{fill:#d55e00}.p-idle{fill:#a9b1b9}
.p-graph{fill:#332288}
.p-other{fill:#59636e}.p-file{fill:#e69f00}.p-host{fill:#8c6a00}
.k{fill:none;stroke-width:2}
.k0{stroke:var(--ink);stroke-dasharray:7 3}.k1{stroke:#009e73}.k2{stroke:#d55e00}
.k3{stroke:#0072b2}.k4{stroke:var(--muted);stroke-dasharray:2 4}
.d{stroke:none}
.d.k0{fill:var(--ink)}.d.k1{fill:#009e73}.d.k2{fill:#d55e00}.d.k3{fill:#0072b2}
.d.k4{fill:var(--muted)}
.star{stroke:#cc79a7;stroke-width:4;fill:none}
)css";

}  // namespace switchyard
