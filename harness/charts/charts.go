// Package charts carries the one charts library of the suite, so that the
// report and the leaderboard's page draw with the same one and neither needs
// a network: Chart.js 4.6.1 (MIT, see LICENSE.chartjs.md), taken from npm
// (chart.js@4.6.1, dist/chart.umd.min.js, without its source-map line).
package charts

import _ "embed"

// JS is Chart.js as a classic script: once it has run, the global Chart is
// there. It holds no "</script", so it may stand inside a script element.
//
//go:embed chart.umd.min.js
var JS string

// DrawJS is what the pages with charts have in common, as the global charts. It goes
// behind JS and before the page's own script.
//
//go:embed draw.js
var DrawJS string

// CSS is the look of those pages.
//
//go:embed page.css
var CSS string

// Version is the version of Chart.js that JS is.
const Version = "4.6.1"
