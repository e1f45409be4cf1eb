package main

// instead is what to do where this cluster cannot be had.
const instead = "Any other cluster will do, for example kind's: `kind create cluster`, then " +
	"`make e2e KUBECONFIG=$HOME/.kube/config E2E_LOAD='kind load image-archive'`."
