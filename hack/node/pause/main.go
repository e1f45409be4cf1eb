// Command pause keeps a pod's network namespace alive: the container runtime runs it in every pod, beside the pod's own containers.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
}
