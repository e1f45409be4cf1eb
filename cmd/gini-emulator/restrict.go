package main

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"github.com/gini-operator/gini-operator/pkg/emulator"
)

// restrictOptions are the restrictions by client id.
type restrictOptions struct {
	named map[string]emulator.Restriction
	err   error // of any --restrict
}

func (r *restrictOptions) register(fs *flag.FlagSet) {
	r.named = map[string]emulator.Restriction{}
	fs.Func("restrict", "which users a --client may have, repeatable: `id=KIND[,STATUS]` with derived or anonymous, and with the status that "+
		"refuses it the others: 401, 403 (the default) or 429", func(v string) error {
		r.err = errors.Join(r.err, r.add(v))
		return nil
	})
}

func (r *restrictOptions) add(v string) error {
	id, rest, _ := strings.Cut(v, "=")
	kind, number, hasStatus := strings.Cut(rest, ",")
	status, err := strconv.Atoi(number)
	if id == "" || kind == "" || hasStatus && err != nil {
		return errors.New("--restrict: expected id=KIND or id=KIND,STATUS, such as acme=derived,401")
	}
	if _, twice := r.named[id]; twice {
		return fmt.Errorf("--restrict %s: given twice", id)
	}
	restriction := emulator.Restriction{To: emulator.UserKind(kind), Status: status}
	if err := restriction.Validate(); err != nil {
		return fmt.Errorf("--restrict %s: %w", id, err)
	}
	r.named[id] = restriction
	return nil
}
