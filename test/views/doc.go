// Package views holds tests of an operator whose view of the cluster is late, old or full of holes, and of several that overlap.
package views
