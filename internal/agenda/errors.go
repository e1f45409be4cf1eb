package agenda

import "errors"

// errNoPriorities: the controller was built with its priority queue switched off.
var errNoPriorities = errors.New("the agenda needs the priority queue of controller-runtime: leave UsePriorityQueue unset")
