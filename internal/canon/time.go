package canon

import "time"

const timeLayout = "2006-01-02T15:04:05Z"

// Time is a moment in whole seconds UTC, years 2000 to 9999, written
// "2006-01-02T15:04:05Z". The zero Time has no encoding.
type Time struct{ t time.Time }

// TimeOf returns t in UTC, cut to whole seconds.
func TimeOf(t time.Time) Time { return Time{t.UTC().Truncate(time.Second)} }

// Time returns the moment as a time.Time in UTC.
func (t Time) Time() time.Time { return t.t }

func (t Time) String() string { return t.t.Format(timeLayout) }

func (t Time) MarshalText() ([]byte, error) {
	if y := t.t.Year(); y < 2000 || y > 9999 {
		return nil, Fail("encoding", "time %s: year out of 2000 to 9999", t)
	}
	return []byte(t.String()), nil
}

func (t *Time) UnmarshalText(text []byte) error {
	v, err := time.Parse(timeLayout, string(text))
	if err != nil || len(text) != len(timeLayout) || v.Year() < 2000 {
		return Fail("encoding", "time %.40q: want the form 2026-01-31T12:00:00Z", text)
	}
	t.t = v
	return nil
}

// CheckExpiry checks that a statement that expires at expires may be used now:
// not past, and not further ahead than longest.
func CheckExpiry(what string, expires Time, now time.Time, longest time.Duration) error {
	if !now.Before(expires.t) {
		return Fail("expiry", "%s expired at %s (it is %s)", what, expires, TimeOf(now))
	}
	if expires.t.Sub(now) > longest {
		return Fail("expiry", "%s expires at %s, more than %d days ahead of %s", what, expires, int(longest/(24*time.Hour)), TimeOf(now))
	}
	return nil
}
