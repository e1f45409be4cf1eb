//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"time"
)

// downPatience is for each of the steps.
const downPatience = 30 * time.Second

// down takes away everything that up made, as far as it got. What it cannot take away, it names; it can be run again.
func down() error {
	_, err := os.Stat(root)
	made := err == nil
	if err := removeMade(); err != nil {
		return err
	}
	if err := os.RemoveAll(userFolder); err != nil {
		return err
	}
	if made {
		say("down; nothing is left of it")
	} else {
		say("there is none")
	}
	return nil
}

// removeMade does not touch the checkout.
func removeMade() error {
	running, err := findNode()
	if err != nil {
		return err
	}
	if running != nil {
		defer running.release()
		if err := running.kill(downPatience); err != nil {
			return err
		}
	}
	if err := removeLink(); err != nil {
		return err
	}
	if err := removeCgroups(downPatience); err != nil {
		return fmt.Errorf("cgroups are left: %w", err)
	}
	if err := restoreSettings(); err != nil {
		return fmt.Errorf("settings of the kernel are left changed: %w", err)
	}
	// Last: this is what tells the next one that there is something to take away.
	if err := os.RemoveAll(root); err != nil {
		return fmt.Errorf("files are left: %w", err)
	}
	return nil
}

// removeLink removes the machine's end, which the kernel does a moment after the other end's network namespace is gone. Only with a node
// on record is a link of that name ours.
func removeLink() error {
	if _, err := os.Stat(root); err != nil {
		return nil //nolint:nilerr // nothing has been made
	}
	for deadline := time.Now().Add(downPatience); ; time.Sleep(pause) {
		if _, err := net.InterfaceByName(machineLink); err != nil {
			return nil //nolint:nilerr // it is gone
		}
		err := ip("link delete " + machineLink)
		if err != nil && time.Now().After(deadline) {
			return err
		}
	}
}
