package main

import (
	"fmt"
	"math/rand"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

func pick(r *rand.Rand, from ...string) string { return from[r.Intn(len(from))] }

func letters(r *rand.Rand, alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.Intn(len(alphabet))]
	}
	return string(b)
}

// Breaks one question in a few: a byte replaced, removed or doubled.
func mutate(r *rand.Rand, s, alphabet string) string {
	for r.Intn(4) == 0 && len(s) > 0 {
		i := r.Intn(len(s))
		switch r.Intn(3) {
		case 0:
			s = s[:i] + string(alphabet[r.Intn(len(alphabet))]) + s[i+1:]
		case 1:
			s = s[:i] + s[i+1:]
		default:
			s = s[:i] + s[i:i+1] + s[i:]
		}
	}
	return s
}

/* --- Quantities --- */

func quantity(r *rand.Rand) string {
	s := pick(r, "", "", "", "-", "+")
	s += letters(r, "0123456789", pickInt(r, 0, 1, 1, 2, 3, 5, 15, 17, 18, 19, 20, 30))
	if r.Intn(3) == 0 {
		s += "." + letters(r, "0012345678999", pickInt(r, 0, 1, 2, 3, 8, 9, 10, 18, 25))
	}
	switch r.Intn(4) {
	case 0:
	case 1:
		s += pick(r, "e", "E") + pick(r, "", "+", "-") + strconv.Itoa(r.Intn(pickInt(r, 5, 20, 60)))
	case 2:
		s += pick(r, "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
	default:
		s += pick(r, "n", "u", "m", "k", "M", "G", "T", "P", "E", "K", "i", "Kim")
	}
	return mutate(r, s, "0123456789.eEinumkKMGTP+- _")
}

func pickInt(r *rand.Rand, from ...int) int { return from[r.Intn(len(from))] }

func askQuantity(r *rand.Rand) []string {
	a := quantity(r)
	// Half of the pairs are near one another, so that comparison is close.
	if r.Intn(2) == 0 {
		return []string{a, mutate(r, a, "0123456789KMGi")}
	}
	return []string{a, quantity(r)}
}

var largest = resource.MustParse("9223372036854775807")

// An exponent of thousands makes inf.Dec compute for minutes: such a text is not asked.
func sane(s string) bool {
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return true
	}
	n, err := strconv.Atoi(strings.TrimLeft(s[i+1:], "+-"))
	return err != nil || n < 2000
}

func answerQuantity(args []string) string {
	if !sane(args[0]) || !sane(args[1]) {
		return "skip"
	}
	a, errA := resource.ParseQuantity(args[0])
	b, errB := resource.ParseQuantity(args[1])
	word := func(err error) string {
		if err != nil {
			return "bad"
		}
		return "ok"
	}
	if errA != nil || errB != nil {
		return word(errA) + " " + word(errB)
	}
	value := "far"
	if a.Cmp(largest) < 0 && a.Sign() >= 0 {
		value = strconv.FormatInt(a.Value(), 10)
	}
	return fmt.Sprintf("ok ok %d %s", a.Cmp(b), value)
}

// Go's Value() wraps outside int64 (here it is held at the limit) and rounds negative fractions the
// wrong way (-82.5 gives -81); no size is either, so only the comparison counts there.
func sameQuantity(_ []string, ours, theirs string) bool {
	if theirs == "skip" || ours == theirs {
		return true
	}
	if head, ok := strings.CutSuffix(theirs, " far"); ok {
		return strings.HasPrefix(ours, head+" ")
	}
	return false
}

/* --- Durations --- */

func askDuration(r *rand.Rand) []string {
	s := pick(r, "", "", "", "-", "+")
	for i := r.Intn(4); i >= 0; i-- {
		s += letters(r, "0123456789", pickInt(r, 0, 1, 1, 2, 3, 7, 15, 19, 20))
		if r.Intn(3) == 0 {
			s += "." + letters(r, "0123456789", pickInt(r, 0, 1, 2, 9, 17, 19, 22))
		}
		s += pick(r, "ns", "us", "µs", "μs", "ms", "s", "m", "h", "", "d")
	}
	return []string{mutate(r, s, "0123456789.nusmh+- ")}
}

func answerDuration(args []string) string {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return "bad"
	}
	return strconv.FormatInt(int64(d), 10)
}

/* --- Names --- */

func askName(r *rand.Rand) []string {
	n := pickInt(r, 0, 1, 2, 3, 10, 62, 63, 64, 252, 253, 254)
	s := letters(r, pick(r, "ab0", "ab0-", "ab0-.", "aB0-_.", "aB0-_./"), n)
	if r.Intn(4) == 0 {
		s = letters(r, "ab0-.", pickInt(r, 1, 5, 63, 252, 253, 254)) + "/" +
			letters(r, "aB0-_.", pickInt(r, 0, 1, 5, 62, 63, 64))
	}
	return []string{mutate(r, s, "aZ09-_./ \n\xc3")}
}

func answerNames(args []string) string {
	out := ""
	for _, errs := range [][]string{
		content.IsDNS1123Label(args[0]), content.IsDNS1123Subdomain(args[0]),
		validation.IsQualifiedName(args[0]), validation.IsValidLabelValue(args[0]),
	} {
		if len(errs) == 0 {
			out += "1"
		} else {
			out += "0"
		}
	}
	return out
}

/* --- Selectors --- */

var keys = []string{"a", "b", "app", "in", "notin", "x.y/z", "A-b_c.d", "-bad", "x/y/z", ""}
var values = []string{"", "1", "2", "10", "-3", "a", "b", "in", "notin", "v.w_x-y", "-bad"}

func blank(r *rand.Rand) string { return pick(r, "", "", " ", "  ", "\t", "\n") }

func term(r *rand.Rand) string {
	key, value := keys[r.Intn(len(keys)-r.Intn(3))], func() string { return values[r.Intn(len(values)-r.Intn(2))] }
	switch r.Intn(6) {
	case 0:
		return blank(r) + key
	case 1:
		return blank(r) + "!" + blank(r) + key
	case 2, 3:
		return key + blank(r) + pick(r, "=", "==", "!=", ">", "<") + blank(r) + value()
	default:
		s := key + pick(r, " ", "  ", "") + pick(r, "in", "notin") + blank(r) + "("
		for i := r.Intn(4); i > 0; i-- {
			s += blank(r) + value() + pick(r, ",", ",", ",", "")
		}
		return s + pick(r, value(), "") + ")"
	}
}

func askSelector(r *rand.Rand) []string {
	var terms []string
	for i := r.Intn(4); i > 0; i-- {
		terms = append(terms, term(r))
	}
	s := strings.Join(terms, pick(r, ",", ",", " , ", ", "))
	var set []string
	for _, k := range keys[:7] {
		if r.Intn(2) == 0 {
			set = append(set, k+"="+values[r.Intn(len(values)-1)])
		}
	}
	return []string{mutate(r, s, "ab=!(),<> \tin"), strings.Join(set, "\n")}
}

func answerSelector(args []string) string {
	s, err := labels.Parse(args[0])
	if err != nil {
		return "bad"
	}
	set := labels.Set{}
	for _, line := range strings.Split(args[1], "\n") {
		if k, v, ok := strings.Cut(line, "="); ok {
			set[k] = v
		}
	}
	if s.Matches(set) {
		return "1"
	}
	return "0"
}

/* --- Cron --- */

var zones = []string{
	"", "UTC", "Asia/Shanghai", "Europe/Berlin", "Europe/London", "Europe/Dublin", "America/New_York",
	"America/Los_Angeles", "America/Sao_Paulo", "America/St_Johns", "America/Santiago", "America/Havana",
	"America/Asuncion", "America/Scoresbysund", "America/Nuuk", "America/Caracas", "Asia/Tehran", "Asia/Gaza",
	"Asia/Beirut", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Pyongyang", "Asia/Amman", "Africa/Casablanca",
	"Africa/Cairo", "Africa/El_Aaiun", "Africa/Monrovia", "Antarctica/Troll", "Antarctica/Macquarie",
	"Australia/Lord_Howe", "Australia/Sydney", "Pacific/Apia", "Pacific/Auckland", "Pacific/Chatham",
	"Pacific/Kiritimati", "Pacific/Kwajalein", "Atlantic/Azores", "Etc/GMT+5", "Etc/GMT-14", "EST5EDT", "CET",
	"Mars/Phobos", "Europe", "../UTC", "europe/berlin", "/UTC", "Asia/Shanghai ", "zone.tab",
}

func cronField(r *rand.Rand, low, high int, words []string) string {
	number := func() string {
		if len(words) > 0 && r.Intn(4) == 0 {
			w := words[r.Intn(len(words))]
			return pick(r, w, strings.ToUpper(w), strings.ToUpper(w[:1])+w[1:])
		}
		return pick(r, "", "", "", "0", "+") + strconv.Itoa(low+r.Intn(high-low+1+r.Intn(2)))
	}
	var parts []string
	for i := pickInt(r, 1, 1, 1, 2, 3); i > 0; i-- {
		s := ""
		switch r.Intn(5) {
		case 0, 1:
			s = pick(r, "*", "*", "?")
		case 2:
			s = number()
		default:
			s = number() + "-" + number()
		}
		if r.Intn(4) == 0 {
			s += "/" + strconv.Itoa(r.Intn(20))
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ",")
}

func askCron(r *rand.Rand) []string {
	s := ""
	if r.Intn(10) == 0 {
		s = pick(r, "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "@every 1h30m",
			"@every 10ms", "@every x", "@never", "@Daily")
	} else {
		months := []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
		days := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
		space := pick(r, " ", " ", " ", "  ", "\t")
		s = strings.Join([]string{cronField(r, 0, 59, nil), cronField(r, 0, 23, nil), cronField(r, 1, 31, nil),
			cronField(r, 1, 12, months), cronField(r, 0, 6, days)}, space)
	}
	s = mutate(r, s, "0123456789*?/-, abm")
	at := time.Date(1990+r.Intn(110), time.Month(1+r.Intn(12)), 1+r.Intn(31), r.Intn(24), r.Intn(60), r.Intn(60), 0, time.UTC)
	if r.Intn(2) == 0 {
		// Near a change of clocks: the last and first Sundays of these months, give or take a day.
		at = time.Date(2000+r.Intn(60), time.Month(pickInt(r, 3, 4, 9, 10, 11)), pickInt(r, 1, 2, 8, 25, 28, 30), r.Intn(72),
			r.Intn(60), 0, 0, time.UTC)
	}
	return []string{s, zones[r.Intn(len(zones))], strconv.FormatInt(at.Unix(), 10)}
}

func answerCron(args []string) string {
	loc, err := time.LoadLocation(args[1])
	if err != nil {
		return "badzone"
	}
	schedule, err := cron.ParseStandard(args[0])
	if err != nil {
		return "bad"
	}
	seconds, _ := strconv.ParseInt(args[2], 10, 64)
	// These left out a whole day, on which robfig/cron never ends (2011, 1994, 1993).
	if strings.Contains("Pacific/Apia Pacific/Kiritimati Pacific/Kwajalein", args[1]) && args[1] != "" &&
		seconds < time.Date(2012, 1, 2, 0, 0, 0, 0, time.UTC).Unix() {
		return "skip"
	}
	at := time.Unix(seconds, 0).In(loc)
	var out []string
	for range 5 {
		at = schedule.Next(at)
		if at.IsZero() {
			out = append(out, "none")
			break
		}
		out = append(out, strconv.FormatInt(at.Unix(), 10))
	}
	return strings.Join(out, " ")
}

func sameCron(_ []string, ours, theirs string) bool { return theirs == "skip" || ours == theirs }

/* --- YAML --- */

func scalar(r *rand.Rand) string {
	s := ""
	switch r.Intn(8) {
	case 0:
		s = pick(r, "y", "Y", "yes", "No", "on", "OFF", "true", "False", "null", "~", "Null", "tRue", "yEs", "<<x", "=")
	case 1:
		s = pick(r, "", "-", "+") + pick(r, "0x", "0o", "0b", "0", "0X", "") + letters(r, "01234567", 1+r.Intn(22))
	case 2:
		s = pick(r, "", "-", "+") + letters(r, "0123456789_", 1+r.Intn(8)) + "." + letters(r, "0123456789", r.Intn(5))
	case 3:
		s = letters(r, "0123456789", 1+r.Intn(3)) + pick(r, "e", "E", ".e") + pick(r, "", "+", "-") + letters(r, "0123456789", 1+r.Intn(3))
	case 4:
		s = "." + letters(r, "0123456789_", 1+r.Intn(4)) + pick(r, "", "e5")
	case 5:
		s = pick(r, "2001-01-02", "2001-1-2", "2001-01-02T03:04:05Z", "2001-01-02 03:04:05", "12:30:45", "1_000", "0x1_F", "1__0")
	case 6:
		return pick(r, `"5"`, `'yes'`, `!!str 5`, `!!int "7"`, `!!float 3`, `"a\tb\u00e9"`, `!!bool yes`, `'it''s'`, `""`)
	default:
		s = "a" + letters(r, "abc-_.0 ", r.Intn(6)) + "z"
	}
	return s
}

func flow(r *rand.Rand, depth int) string {
	if depth == 0 || r.Intn(3) > 0 {
		return scalar(r)
	}
	var parts []string
	if r.Intn(2) == 0 {
		for i := r.Intn(4); i > 0; i-- {
			parts = append(parts, flow(r, depth-1))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	for i, n := 0, r.Intn(4); i < n; i++ {
		parts = append(parts, fmt.Sprintf("k%d: %s", i, flow(r, depth-1)))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// Maps with anchors, aliases and merge keys, in block style. Keys are unique by their number.
func askYAML(r *rand.Rand) []string {
	var b strings.Builder
	anchors := 0
	for i, n := 0, 1+r.Intn(5); i < n; i++ {
		key := fmt.Sprintf("k%d", i)
		if r.Intn(8) == 0 {
			key = pick(r, "1", "yes", "2.5", "q", "0x1") + strconv.Itoa(i+1)
		}
		switch r.Intn(5) {
		case 0:
			fmt.Fprintf(&b, "%s: &a%d {x: %s, y%d: %s}\n", key, anchors, scalar(r), i, flow(r, 1))
			anchors++
		case 1:
			if anchors == 0 {
				continue
			}
			fmt.Fprintf(&b, "%s: *a%d\n", key, r.Intn(anchors))
		case 2:
			if anchors == 0 {
				continue
			}
			fmt.Fprintf(&b, "%s:\n  <<: %s\n  x: %s\n", key, pick(r, fmt.Sprintf("*a%d", r.Intn(anchors)),
				fmt.Sprintf("[*a%d, *a%d]", r.Intn(anchors), r.Intn(anchors))), scalar(r))
		case 3:
			fmt.Fprintf(&b, "%s:\n- %s\n- %s\n", key, flow(r, 2), scalar(r))
		default:
			fmt.Fprintf(&b, "%s: %s\n", key, flow(r, 3))
		}
	}
	// Whole documents only: this topic is about what scalars and merges mean. Where libyaml and its
	// Go port stop reading a broken one differs.
	return []string{b.String()}
}

func answerYAML(args []string) string {
	out, err := yaml.YAMLToJSONStrict([]byte(args[0]))
	if err != nil {
		// A merge that is overridden is no duplicate for us, nor for kubectl; Strict is asked first
		// only because it finds keys that were written twice.
		if strings.Contains(err.Error(), "already set in map") && strings.Contains(args[0], "<<") {
			if out, err = yaml.YAMLToJSON([]byte(args[0])); err == nil {
				return strings.TrimSpace(string(out))
			}
		}
		return "bad"
	}
	return strings.TrimSpace(string(out))
}
