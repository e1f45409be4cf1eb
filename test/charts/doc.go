// Package charts holds no code: its tests hold the chart and config/ against each other, and what they render against a real API server.
// It is a module of its own, so that the product's has no part in what only they need.
package charts
