package controller

// Older is which of two GiniUsers goes first.
var Older = older
