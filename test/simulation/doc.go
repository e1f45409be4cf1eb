// Package simulation runs the operator's decisions about time through a simulated week of many users, and proves by its numbers
// that nothing expires, nobody starves, and the load spreads out.
package simulation
