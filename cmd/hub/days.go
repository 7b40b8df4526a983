package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// days is a flag for a time span: as Go writes it, or whole days like 30d.
type days time.Duration

func (d *days) String() string { return time.Duration(*d).String() }
func (d *days) Type() string   { return "duration" }

func (d *days) Set(s string) error {
	if n, is := strings.CutSuffix(s, "d"); is {
		count, err := strconv.ParseUint(n, 10, 32)
		if err != nil || time.Duration(count) > math.MaxInt64/(24*time.Hour) {
			return fmt.Errorf("%q: want days, like 30d", s)
		}
		*d = days(time.Duration(count) * 24 * time.Hour)
		return nil
	}
	span, err := time.ParseDuration(s)
	if err != nil || span < 0 {
		return fmt.Errorf("%q: want a time like 30d, 12h or 90s", s)
	}
	*d = days(span)
	return nil
}
