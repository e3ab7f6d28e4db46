#!/usr/bin/env python3
"""Writes random recurrence rules with the occurrences that python-dateutil computes for them.

    pip install python-dateutil
    python3 oracle.py --seed 5545 10000 > dateutil.tsv     # the file in the repository
    python3 oracle.py --seed fresh 10000 > fresh.tsv       # different rules on every call
    ORACLE=fresh.tsv cargo test --release --test oracle

Each line has these fields, separated by tabs: the rule; `dtstart`; the number of computed occurrences; whether
there are more (`more`, `end`, or `?` if dateutil took too long); the first and the last computed occurrence; a
64-bit FNV-1a digest of all of them; and `iso` if the answer of dateutil was corrected as explained below.

The rules are valid in RFC 5545, which allows less than dateutil. In three cases dateutil deviates from RFC 5545
(and from ISO 8601, which the RFC refers to for weeks):

 1. The first days of January that belong to the last week of the previous year: in some years, such as 1994 and
    2011, dateutil counts week 52 as week 53 (`lnumweeks` in `_iterinfo.rebuild`).
 2. The last days of December that belong to week 1 of the next year: dateutil does not find them by the negative
    number of that week, -52 or -53 (`TODO: Check -numweeks for next year` in its code).
 3. A list such as `BYDAY=MO,1TU` is a list of alternatives, but dateutil requires a day to be both a Monday and
    the first Tuesday, and finds none. Such lists are not generated.

For the first two cases, the answer to a rule with `BYWEEKNO` is computed again with weeks numbered by ISO 8601.
"""

import argparse
import datetime
import random
import signal
import sys
import warnings

from dateutil import rrule as du
from dateutil.tz import UTC

warnings.simplefilter("ignore", DeprecationWarning)

FREQUENCIES = ["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"]
WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
MAX_OCCURRENCES = 100
TIMEOUT = 0.4  # seconds
DAY = datetime.timedelta(days=1)

plain_rebuild = du._iterinfo.rebuild


def iso_rebuild(self, year, month):
    """Replaces the week mask of dateutil by one that assigns each week to the year with most of its days."""
    if year != self.lastyear:
        plain_rebuild(self, year, month)
        if self.rrule._byweekno:
            first = datetime.date(year, 1, 1)
            days = self.yearlen + 7 if year < 9999 else self.yearlen
            self.wnomask = [in_weeks(first + i * DAY, self.rrule) for i in range(days)]
    else:
        plain_rebuild(self, year, month)


def in_weeks(day, rule):
    middle = day + ((3 - (day.weekday() - rule._wkst)) % 7 - (7 if (day.weekday() - rule._wkst) % 7 > 3 else 0)) * DAY
    number = (middle.timetuple().tm_yday - 1) // 7 + 1
    last = datetime.date(middle.year, 12, 31)
    last -= (last - middle).days % 7 * DAY
    weeks = (last.timetuple().tm_yday - 1) // 7 + 1
    return int(number in rule._byweekno or number - weeks - 1 in rule._byweekno)


class Timeout(Exception):
    pass


def on_timeout(*_):
    raise Timeout


def answer(text, start):
    """Returns the first occurrences and whether there are more. A rejected rule has no occurrences."""
    found, state = [], "?"
    signal.setitimer(signal.ITIMER_REAL, TIMEOUT)
    try:
        for occurrence in du.rrulestr(text, dtstart=start):
            if len(found) == MAX_OCCURRENCES:
                state = "more"
                break
            found.append(occurrence)
        else:
            state = "end"
    except Timeout:
        pass
    except ValueError as error:
        if "empty" not in str(error):
            raise
        state = "end"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return found, state


def pick(rng, values, most=4):
    values = list(values)
    return ",".join(str(v) for v in rng.sample(values, min(len(values), rng.randint(1, most))))


def signed(rng, most, biased=()):
    pool = list(range(1, most + 1)) + list(range(-most, 0)) + list(biased) * 8
    return lambda many=4: ",".join(str(v) for v in dict.fromkeys(rng.choice(pool) for _ in range(rng.randint(1, many))))


def interval(rng, freq):
    usual = [2, 2, 3, 4, 5, 6, 7, 10, 12, 13, 15, 20, 24, 25, 30, 45, 48, 60, 61, 90, 100]
    odd = {"HOURLY": [23, 25, 36, 168, 1000], "MINUTELY": [59, 75, 1439, 1440, 1441, 10000],
           "SECONDLY": [59, 3599, 3600, 3601, 5400, 86399, 86400, 86401, 100000, 604800]}
    return rng.choice(odd.get(freq, usual) if rng.random() < 0.3 else usual)


def by_days(rng, freq):
    """Returns valid parts that select days."""
    parts = []
    chance = lambda p: rng.random() < p
    if chance(0.3):
        parts.append("BYMONTH=" + pick(rng, range(1, 13)))
    weeks = freq == "YEARLY" and chance(0.25)
    if weeks:
        parts.append("BYWEEKNO=" + signed(rng, 53, (1, 52, 53, -1, -52, -53))())
    if freq in ("YEARLY", "HOURLY", "MINUTELY", "SECONDLY") and chance(0.2):
        parts.append("BYYEARDAY=" + signed(rng, 366, (1, 60, 366, -1, -366))(8))
    if freq != "WEEKLY" and chance(0.25):
        parts.append("BYMONTHDAY=" + signed(rng, 31, (1, 29, 30, 31, -1))(6))
    if chance(0.35):
        if freq in ("YEARLY", "MONTHLY") and not weeks and chance(0.5):
            in_year = freq == "YEARLY" and not any(p.startswith("BYMONTH=") for p in parts)
            nth = signed(rng, 53 if in_year else 5, (1, 2, -1, 5))
            parts.append("BYDAY=" + ",".join(dict.fromkeys(nth(1) + rng.choice(WEEKDAYS) for _ in range(rng.randint(1, 3)))))
        else:
            parts.append("BYDAY=" + pick(rng, WEEKDAYS, 5))
    return parts


def by_times(rng):
    parts = []
    for name, size in (("BYHOUR", 24), ("BYMINUTE", 60), ("BYSECOND", 60)):
        if rng.random() < 0.25:
            parts.append(f"{name}=" + pick(rng, range(size), rng.choice([1, 2, 5, 20])))
    return parts


def draw(rng):
    """Returns a random rule, its start, and whether its `UNTIL` is an instant."""
    freq = rng.choice(FREQUENCIES)
    start = datetime.datetime(rng.choice([1970, 1997, 2000, rng.randint(1900, 2100)]), 1, 1) + datetime.timedelta(
        days=rng.randrange(366), seconds=rng.choice([0, 9 * 3600, rng.randrange(86400)]))
    by = by_days(rng, freq) + by_times(rng)
    if by and rng.random() < 0.25:
        by.append("BYSETPOS=" + signed(rng, 20, (1, 2, -1, -2) * 4)(3))
    rest = []
    if rng.random() < 0.5:
        rest.append(f"INTERVAL={interval(rng, freq)}")
    if rng.random() < 0.3:
        rest.append("WKST=" + rng.choice(WEEKDAYS))
    end, zulu = rng.random(), rng.random() < 0.5
    if end < 0.25:
        rest.append(f"COUNT={rng.randint(1, 150)}")
    elif end < 0.45:
        reach = {"YEARLY": 9000, "MONTHLY": 2000, "WEEKLY": 600, "DAILY": 200}.get(freq, 40)
        until = start + datetime.timedelta(seconds=rng.randrange(reach * 86400))
        rest.append(f"UNTIL={until:%Y%m%dT%H%M%S}" + ("Z" if zulu else ""))
    else:
        zulu = False
    parts = by + rest
    rng.shuffle(parts)
    return ";".join([f"FREQ={freq}"] + parts), start, zulu


def digest(texts):
    value = 0xCBF29CE484222325
    for byte in "".join(texts).encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def line(rng):
    """Returns the line for one rule, or None if dateutil finds no occurrence within the timeout."""
    text, start, zulu = draw(rng)
    aware = start.replace(tzinfo=UTC) if zulu else start
    found, state = answer(text, aware)
    note = ""
    if "BYWEEKNO" in text:
        du._iterinfo.rebuild = iso_rebuild
        corrected = answer(text, aware)
        du._iterinfo.rebuild = plain_rebuild
        known = min(len(found), len(corrected[0]))
        if found[:known] != corrected[0][:known] or (state != corrected[1] and "?" not in (state, corrected[1])):
            note = "iso"
        found, state = corrected
    if not found and state == "?":
        return None
    texts = [f"{f:%Y%m%dT%H%M%S}".rjust(15, "0") for f in found]
    first, last = (texts[0], texts[-1]) if texts else ("-", "-")
    return "\t".join([text, f"{start:%Y%m%dT%H%M%S}", str(len(texts)), state, first, last, digest(texts), note])


def main():
    arguments = argparse.ArgumentParser(description="Writes random recurrence rules with their occurrences according to python-dateutil.")
    arguments.add_argument("--seed", default="5545", help="a number, or `fresh`")
    arguments.add_argument("number", type=int)
    arguments = arguments.parse_args()
    seed = random.SystemRandom().randrange(2**32) if arguments.seed == "fresh" else int(arguments.seed)
    rng = random.Random(seed)
    signal.signal(signal.SIGALRM, on_timeout)
    print(f"# seed {seed}")
    written = drawn = 0
    while written < arguments.number:
        drawn += 1
        if text := line(rng):
            print(text)
            written += 1
    print(f"seed {seed}: {written} rules, and {drawn - written} without an answer within the timeout", file=sys.stderr)


if __name__ == "__main__":
    main()
