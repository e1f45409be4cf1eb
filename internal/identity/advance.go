package identity

import "time"

// Advance does all that is due at now for keys that the operator makes, by generate. It says what it did, and when something
// is due next. On an error the ring stays as it is.
//
// Where time jumps, after a long downtime too, a next key stays published for PublishAhead before it signs, and one call lets
// one key sign at most. A clock that stepped back puts things off and rotates nothing.
func (r Ring) Advance(
	policy Policy, now time.Time, generate func(Algorithm) (*Key, error),
) (next Ring, changes []Change, at time.Time, err error) {
	t := r.takeApart(policy, now)
	if err := t.begin(generate); err != nil {
		return r, nil, time.Time{}, err
	}
	t.discard()
	t.promote()
	if err := t.publish(generate); err != nil {
		return r, nil, time.Time{}, err
	}
	t.withdraw()
	return t.ring(), t.changes, t.due(), nil
}

// Roll is for an emergency: one new key signs, and all others are gone at once.
func (r Ring) Roll(policy Policy, now time.Time, generate func(Algorithm) (*Key, error)) (Ring, error) {
	t := Ring{}.takeApart(policy, now)
	if err := t.begin(generate); err != nil {
		return r, err
	}
	return t.ring(), nil
}

// begin sees to it that a key signs. One whose private half is gone cannot.
func (t *turn) begin(generate func(Algorithm) (*Key, error)) error {
	if t.signing != nil && t.signing.Private != nil {
		t.settleSigning()
		return nil
	}
	key, err := generate(t.policy.Algorithm)
	if err != nil {
		return err
	}
	t.sign(RingKey{Public: key.Public(), Private: key})
	t.note(KeyCreated, *t.signing)
	return nil
}

// discard drops a next key that is of no use any more.
func (t *turn) discard() {
	if t.next != nil && (t.next.Private == nil || t.next.Public.Algorithm != t.policy.Algorithm) {
		t.dropNext()
	}
}

// promote lets the next key sign if its time has come.
func (t *turn) promote() {
	if t.next == nil {
		return
	}
	t.settleNext()
	if t.next.SignsFrom.After(t.now) {
		return
	}
	key := *t.next
	t.next = nil
	t.sign(key)
	t.note(KeyPromoted, key)
}

// settleNext keeps what is planned for the next key within bounds: never before it was published for PublishAhead, as far
// as is known, and never so late that only a clock that was ahead can have planned it.
func (t *turn) settleNext() {
	if t.next.Since.IsZero() || t.next.Since.After(t.now) {
		t.next.Since = t.second()
		t.next.SignsFrom = later(t.next.SignsFrom, fullSecond(t.now.Add(PublishAhead)))
	}
	earliest := t.next.Since.Add(PublishAhead)
	latest := fullSecond(t.now.Add(PublishAhead + t.policy.Interval))
	t.next.SignsFrom = later(t.next.SignsFrom, earliest)
	if t.next.SignsFrom.After(latest) {
		t.next.SignsFrom = latest
	}
}

// publish makes a next key ahead of the time at which it is to sign.
func (t *turn) publish(generate func(Algorithm) (*Key, error)) error {
	regular := t.signing.Public.Algorithm == t.policy.Algorithm
	if t.next != nil || regular && t.now.Before(t.publication()) {
		return nil
	}
	key, err := generate(t.policy.Algorithm)
	if err != nil {
		return err
	}
	signsFrom := t.now.Add(PublishAhead)
	if regular {
		signsFrom = later(signsFrom, t.signing.Since.Add(t.policy.Interval))
	}
	t.next = &RingKey{Public: key.Public(), Private: key, Stage: StageNext, Since: t.second(), SignsFrom: fullSecond(signsFrom)}
	t.note(KeyPublished, *t.next)
	return nil
}

// publication is when the next key of a regular rotation is to be published.
func (t *turn) publication() time.Time {
	return t.signing.Since.Add(t.policy.Interval - PublishAhead)
}

func (t *turn) due() time.Time {
	if t.next != nil {
		return earlier(t.firstWithdrawal(), t.next.SignsFrom)
	}
	return earlier(t.firstWithdrawal(), t.publication())
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
