"""The numbers that objects have in all files."""

import dataclasses

from scenewise.summary import Summary

SUMMARY = Summary("m", 9, "known footage", "", "", ["background", "object", "object", "unused"], 0.1, None, None)


def test_a_slot_is_its_object_where_nothing_else_is_said():
    assert SUMMARY.track_ids == [0, 2, 3, 0]


def test_a_slot_that_was_given_to_another_object_has_several_numbers():
    tracks = dataclasses.replace(SUMMARY, tracks=[[], [1, 4], [2], [3]])
    assert tracks.track_ids == [0, 1, 2, 0]
    assert tracks.objects == 2
