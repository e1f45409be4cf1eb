package main

import (
	"context"
	"math/rand/v2"
	"syscall"
	"time"
)

// leaderFaults take the lead from a process.
var leaderFaults = []fault{
	{name: "leader killed", kill: true, inject: func(ctx context.Context, s *soak, _ *rand.Rand) error {
		leader, _, err := s.operators.pair(ctx)
		if err != nil {
			return err
		}
		s.out.Say("SIGKILL for the leader, operator %s (process %d)", leader.name, leader.PID())
		s.operators.end(leader, syscall.SIGKILL)
		return nil
	}},
	{name: "leader stopped", inject: func(ctx context.Context, s *soak, _ *rand.Rand) error {
		leader, _, err := s.operators.pair(ctx)
		if err != nil {
			return err
		}
		begin := time.Now()
		s.operators.end(leader, syscall.SIGTERM)
		s.out.Say("SIGTERM for the leader, operator %s (process %d): it ended within %.1f s: %v",
			leader.name, leader.PID(), time.Since(begin).Seconds(), leader.State())
		return nil
	}},
	{name: "leader frozen", inject: func(ctx context.Context, s *soak, draw *rand.Rand) error {
		leader, _, err := s.operators.pair(ctx)
		if err != nil {
			return err
		}
		d := between(draw, 5*time.Second, 8*time.Second)
		s.out.Say("SIGSTOP for the leader, operator %s (process %d), SIGCONT in %.1f s", leader.name, leader.PID(), d.Seconds())
		s.operators.freeze(ctx, leader, d)
		return nil
	}},
	{name: "API server restarted", inject: func(ctx context.Context, s *soak, _ *rand.Rand) error {
		if _, _, err := s.operators.pair(ctx); err != nil {
			return err
		}
		s.api.Lock()
		defer s.api.Unlock()
		begin := time.Now()
		s.operators.seesNothing(begin)
		end := s.excuses.begin(excuse{cause: leaderless, grace: leaderGrace}, begin)
		if err := s.cluster.StopAPIServer(); err != nil {
			return err
		}
		down := time.Since(begin)
		if err := s.cluster.StartAPIServer(); err != nil {
			return err
		}
		s.operators.seesAgain(time.Now())
		end(time.Now())
		s.out.Say("The API server was stopped in %.1f s and answers again after %.1f s", down.Seconds(), time.Since(begin).Seconds())
		return nil
	}},
}

var standbyFault = fault{name: "standby killed", kill: true, inject: func(ctx context.Context, s *soak, _ *rand.Rand) error {
	_, standby, err := s.operators.pair(ctx)
	if err != nil {
		return err
	}
	s.out.Say("SIGKILL for the standby, operator %s (process %d)", standby.name, standby.PID())
	s.operators.end(standby, syscall.SIGKILL)
	return nil
}}

// playProcesses takes the lead away again and again in the first half, each way at least once. Then the leader is left alone, so that its memory
// can be watched over half of the time, under all other faults, and only the standby is killed.
func (s *soak) playProcesses(ctx context.Context, a *act, end time.Time) error {
	half := end.Add(-s.options.duration / 2)
	kinds := append([]fault{standbyFault}, leaderFaults...)
	for first := true; first || time.Now().Before(half); first = false {
		for _, i := range a.draw.Perm(len(kinds)) {
			if !first && !time.Now().Before(half) {
				break
			}
			if !a.wait(time.Second, 5*time.Second) {
				return nil
			}
			if err := s.inject(ctx, a, kinds[i]); err != nil {
				return err
			}
		}
	}
	s.out.Say("From now on the leader is left alone, so that its memory can be watched")
	return s.rounds(ctx, a, []fault{standbyFault}, 10*time.Second, 25*time.Second)
}

// seesNothing notes that there is no API server, and seesAgain that there is one again.
func (o *operators) seesNothing(at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.absences = append(o.absences, absence{from: at})
}

func (o *operators) seesAgain(at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.absences[len(o.absences)-1].to = at
}
