"""Keep a leaderboard in a map that is ordered, while several threads change scores and look.

    python docs/examples/leaderboard.py [--threads 2] [--size 5000] [--figure FILE]

Exit status 1 unless the board of every contender is, in the end, what sorting the scores gives.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Iterator
from heapq import nsmallest
from itertools import islice
from threading import Lock
from typing import Any

from _measuring import dealt, in_threads, options_of, rates, show

from intermodal import int64, open_map

PLAYERS = 10_000
#: A place on the board is one integer: the best score first, of equal scores the player with the lower
#: number. ``btree`` compares integers of 64 bits without asking the objects.
BITS = 24


def place_of(player: int, score: int) -> int:
    return (-score << BITS) | player


def player_at(place: int) -> tuple[int, int]:
    """Return player and score."""
    return place & ((1 << BITS) - 1), -(place >> BITS)


class Leaderboard:
    """Players by score. Looking takes no lock; changes of the same player take turns.

    A score is changed by putting the player's new place in before the old one is taken out. So a player is
    never off the board; a look that meets both places counts the first. It may miss a player who meanwhile
    moves from where it has not been to where it has been.
    """

    def __init__(self) -> None:
        self.scores = open_map("swiss", key_type=int64, value_type=int64)
        self.places = open_map("btree")
        self._turns = [Lock() for _ in range(64)]

    def add(self, player: int, points: int) -> int:
        """Give a player points and return the new score."""
        with self._turns[player % 64]:
            old = self.scores.get(player)
            new = self.scores.increment(player, points)
            if new != old:
                self.places[place_of(player, new)] = None
                if old is not None:
                    del self.places[place_of(player, old)]
            return new

    def top(self, number: int) -> list[tuple[int, int]]:
        """Return the best players and their scores."""
        return list(islice(seen_once(self.places.irange()), number))

    def rank(self, player: int) -> int:
        """Return how many players are better, and 1 for the player."""
        return self.places.bisect_left(place_of(player, self.scores[player])) + 1

    def neighbours(self, player: int, number: int) -> list[tuple[int, int]]:
        """Return the players next to one, so many better and so many worse, and the player in between."""
        place = place_of(player, self.scores[player])
        better = seen_once(self.places.irange(None, place, (True, False), reverse=True))
        worse = seen_once(self.places.irange(place, None, (False, True)))
        above = [each for each in islice(better, number + 1) if each[0] != player]
        below = [each for each in islice(worse, number + 1) if each[0] != player]
        return [*above[:number][::-1], player_at(place), *below[:number]]


def seen_once(places: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the players at these places; one that is met again has moved meanwhile."""
    met = set()
    for player, score in map(player_at, places):
        if player not in met:
            met.add(player)
            yield player, score


class LockedDict:
    """A dict of scores behind a lock, searched at each look."""

    def __init__(self) -> None:
        self.scores: dict[int, int] = {}
        self.lock = Lock()

    def add(self, player: int, points: int) -> int:
        with self.lock:
            self.scores[player] = new = self.scores.get(player, 0) + points
            return new

    def top(self, number: int) -> list[tuple[int, int]]:
        with self.lock:
            return nsmallest(number, self.scores.items(), key=lambda entry: place_of(*entry))


class LockedSortedDict:
    """A SortedDict of places behind a lock."""

    def __init__(self) -> None:
        from sortedcontainers import SortedDict

        self.scores: dict[int, int] = {}
        self.places = SortedDict()
        self.lock = Lock()

    def add(self, player: int, points: int) -> int:
        with self.lock:
            old = self.scores.get(player)
            self.scores[player] = new = (old or 0) + points
            if old is not None:
                del self.places[place_of(player, old)]
            self.places[place_of(player, new)] = None
            return new

    def top(self, number: int) -> list[tuple[int, int]]:
        with self.lock:
            return [player_at(place) for place in islice(self.places, number)]


def contenders() -> dict[str, Any]:
    """Return what there is to measure: the SortedDict only where sortedcontainers is installed."""
    found: dict[str, Any] = {"btree": Leaderboard, "SortedDict + Lock": LockedSortedDict}
    try:
        import sortedcontainers  # noqa: F401
    except ImportError:
        print("sortedcontainers is not installed: measured without its SortedDict")
        del found["SortedDict + Lock"]
    return found | {"dict + Lock, searched": LockedDict}


def play(board: Any, games: Iterable[tuple[int, int]]) -> None:
    """Give players points; after each game the winner sees the first ten."""
    for player, points in games:
        board.add(player, points)
        board.top(10)


def made_up(size: int) -> list[tuple[int, int]]:
    """Return that many games: player and points."""
    generator = random.Random("games")
    return [(generator.randrange(PLAYERS), generator.randrange(100)) for _ in range(size)]


def expected_of(games: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what the board is after the games: all players by score."""
    scores: dict[int, int] = {}
    for player, points in games:
        scores[player] = scores.get(player, 0) + points
    return sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))


def measured(kind: Any, games: list[tuple[int, int]], threads: int) -> Any:
    """Return the board after the threads have played the games."""
    board = kind()
    in_threads(lambda share: play(board, share), dealt(games, threads))
    return board


def main() -> int:
    options = options_of(__doc__, 5_000, "games").parse_args()
    games = made_up(options.size)
    expected = expected_of(games)
    kinds = contenders()
    wrong = [
        name
        for name, kind in kinds.items()
        if measured(kind, games, options.threads).top(len(expected)) != expected
    ]
    board = measured(Leaderboard, games, options.threads)
    print("first:", ", ".join(f"player {player} with {score}" for player, score in board.top(3)))
    middle = expected[len(expected) // 2][0]
    around = ", ".join(f"{player} with {score}" for player, score in board.neighbours(middle, 1))
    print(f"rank {board.rank(middle)} of {len(expected)}: player {middle}, between others: {around}")
    ways = {name: lambda n, kind=kind: measured(kind, games, n) for name, kind in kinds.items()}
    found = rates(ways, options.size, (1, options.threads), options.rounds)
    show("A score changes, then the first ten are asked for", "games", found, options.figure)
    for name in wrong:
        print(f"{name}: a wrong board", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
