package identity

import "time"

// Follow is for keys that people bring along: key signs from now on, and next is published, which may be nil. The former
// signing key stays published as in Advance. It says what changed, and when something is due next; zero: never.
func (r Ring) Follow(key, next *Key, policy Policy, now time.Time) (Ring, []Change, time.Time) {
	t := r.takeApart(policy, now)
	if key != nil {
		t.follow(key)
	}
	t.announce(next)
	t.withdraw()
	return t.ring(), t.changes, t.firstWithdrawal()
}

// follow lets key sign.
func (t *turn) follow(key *Key) {
	public := key.Public()
	if t.signing != nil && t.signing.Public.ID == public.ID {
		known := t.signing.Public == public
		t.signing.Public, t.signing.Private = public, key
		if !known { // the same key by another algorithm: published under the former one so far
			t.signing.Since = t.second()
			t.note(KeyReplaced, *t.signing)
		}
		t.settleSigning()
		return
	}
	kind := KeyReplaced
	switch {
	case t.signing == nil && t.next == nil && len(t.retired) == 0:
		kind = KeyCreated
	case t.next != nil && t.next.Public == public:
		kind = KeyPromoted
	}
	entry := t.take(public.ID)
	entry.Public, entry.Private = public, key
	t.sign(entry)
	t.note(kind, entry)
}

// announce publishes next, and nothing but next, as the key to come.
func (t *turn) announce(next *Key) {
	if next != nil && t.signing != nil && t.signing.Public.ID == next.ID() {
		next = nil
	}
	if t.next != nil && (next == nil || t.next.Public.ID != next.ID()) {
		t.dropNext()
	}
	if next == nil {
		return
	}
	if t.next != nil && t.next.Public == next.Public() {
		t.next.Private = next
		return
	}
	entry := t.take(next.ID())
	entry.Public, entry.Private, entry.Stage, entry.Since = next.Public(), next, StageNext, t.second()
	t.next = &entry
	t.note(KeyPublished, entry)
}

// take removes a key from the next and the retired ones, with what is known of it; the zero RingKey where it is new.
func (t *turn) take(id string) RingKey {
	if t.next != nil && t.next.Public.ID == id {
		key := *t.next
		t.next = nil
		return key
	}
	for i, key := range t.retired {
		if key.Public.ID == id {
			t.retired = append(t.retired[:i:i], t.retired[i+1:]...)
			return key
		}
	}
	return RingKey{}
}
