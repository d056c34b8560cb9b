"""A sweep that finds the edge, and the reasons of its numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lrpilot import InvalidArgument
from lrpilot.online.opening import Opening


def sweep(start: float, curvature: float = 0.83, floor: float = 0.0) -> tuple[Opening, torch.Tensor]:
    """Runs the opening on f = curvature w^2 / 2 + floor, whose best rate is 1 / curvature, until it is done.

    Rates and curvature are chosen so that no step of the sweep hits the best rate, and the minimum, exactly.
    """
    w = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = torch.optim.SGD([w], lr=start)
    opening = Opening()
    f = lambda: float(curvature * w.detach() ** 2 / 2) + floor  # noqa: E731
    for _ in range(300):
        if opening.done:
            break
        opening.attach(start, optimizer, list)
        before, old = f(), w.detach().clone()
        with torch.no_grad():
            w -= opening.rate * curvature * w
        if opening.survived(before, f()):
            moved = old - w.detach()
            opening.climb(float(moved * curvature * w.detach()), float(moved * curvature * old))
    return opening, w


@pytest.mark.parametrize("start", [1e-4, 0.03, 1.0, 1e3])
def test_the_sweep_ends_at_the_edge_from_any_start(start: float) -> None:
    opening, w = sweep(start)
    assert opening.done
    assert 0.25 / 0.83 < opening.rate < 0.6 / 0.83  # a margin of 4 below an edge of one to two best rates
    assert w.item() == 3.0  # and takes the network back


def test_the_sweep_ends_at_the_edge_where_the_loss_cannot_reach_zero() -> None:
    """It converges on its way up; the steps at the edge are too small to count on a plateau, but this is none."""
    opening, w = sweep(1e-4, floor=4.0)
    assert 0.25 / 0.83 < opening.rate < 0.6 / 0.83
    assert w.item() == 3.0


def test_the_sweep_knows_no_scale() -> None:
    assert 0.25e-6 / 0.83 < sweep(1e-3, curvature=0.83e6)[0].rate < 0.6e-6 / 0.83


def test_a_step_that_destroys_is_undone() -> None:
    w = torch.nn.Parameter(torch.tensor([3.0]))
    opening = Opening()
    opening.attach(10.0, torch.optim.SGD([w], lr=10.0), list)
    with torch.no_grad():
        w.fill_(float("nan"))
    assert not opening.survived(4.5, float("nan"))
    assert w.item() == 3.0
    assert opening.rate == pytest.approx(0.01)


def test_the_sweep_begins_well_below_the_optimizers_rate() -> None:
    opening = Opening()
    opening.attach(1.0, torch.optim.SGD([torch.nn.Parameter(torch.tensor([3.0]))], lr=1.0), list)
    assert opening.rate == pytest.approx(0.01)


def test_a_network_whose_loss_has_multiplied_is_taken_back() -> None:
    """Every step lowers its own batch's loss, and yet the losses rise: 3 + 4 + 8 is not three times 6, 4 + 8 + 9 is."""
    w = torch.nn.Parameter(torch.tensor([3.0]))
    opening = Opening()
    opening.attach(1.0, torch.optim.SGD([w], lr=1.0), list)
    with torch.no_grad():
        w.fill_(50.0)
    for loss in (2.0, 1.0, 3.0, 4.0, 4.0, 4.0, 4.0, 4.0, 8.0):
        assert opening.survived(loss, 0.5 * loss)
        opening.climb(1.0, 1.0)
    rate = opening.rate
    assert not opening.survived(9.0, 4.5)
    assert opening.done
    assert opening.rate == rate / 4
    assert w.item() == 3.0


def test_batches_that_disagree_on_a_plateau_do_not_end_the_sweep() -> None:
    """At a loss of 2.3 a step is small while it promises at most 0.023; what it does to other batches then is noise."""
    opening = Opening()
    opening.attach(1.0, torch.optim.SGD([torch.nn.Parameter(torch.tensor([3.0]))], lr=1.0), list)
    for _ in range(20):
        assert opening.survived(2.3, 2.2999)
        assert opening.climb(-0.02, 0.02)
        assert not opening.done
    for _ in range(2):  # 0.02 + 0.03 + 0.03 is more than three times 0.023
        assert opening.survived(2.3, 2.2999)
        opening.climb(-0.02, 0.03)
    assert opening.done


def begun(loss: float = 1.0) -> Opening:
    """An opening after its first look, at a rate of 0.01, whose network is one number, 3."""
    opening = Opening()
    assert not opening.look(loss)
    opening.attach(1.0, torch.optim.SGD([torch.nn.Parameter(torch.tensor([3.0]))], lr=1.0), list)
    return opening


def climb(opening: Opening, *, losses: list[float], hoped: float, gained: float) -> None:
    for loss in losses:
        assert opening.survived(loss, loss)
        opening.climb(gained, hoped)


def high() -> Opening:
    """One after eight good steps, so that a quarter of the rate is above the one that it began at: 1.2^8 = 4.3."""
    opening = begun()
    climb(opening, losses=[1.0] * 8, hoped=0.5, gained=0.5)
    return opening


def test_the_sweep_climbs_by_a_fifth() -> None:
    """Thirteen steps a decade: from a hundredth of the given rate to ten times it in forty."""
    opening = begun()
    climb(opening, losses=[1.0], hoped=0.5, gained=0.5)
    assert opening.rate == pytest.approx(0.012)


@pytest.mark.parametrize(("lost", "ends"), [(0.249, False), (0.251, True)])
def test_steps_have_gone_too_far_when_they_lose_a_quarter_of_what_they_promise(lost: float, ends: bool) -> None:
    """Three steps of batches that agree in nothing lose or gain a tenth by chance; a quarter is beyond that, and less
    than what a rate twice too high loses on a quadratic (all of it)."""
    opening = high()
    climb(opening, losses=[1.0] * 3, hoped=0.5, gained=-0.5 * lost)
    assert opening.done == ends


def test_three_steps_are_judged_together() -> None:
    """One batch or two may disagree with the step before by chance: 0.5 - 0.35 - 0.35 is above a quarter of -1.5."""
    opening = high()
    climb(opening, losses=[1.0] * 2, hoped=0.5, gained=-0.35)
    assert not opening.done
    climb(opening, losses=[1.0], hoped=0.5, gained=-0.35)
    assert opening.done


@pytest.mark.parametrize(("last", "ends"), [(5.0, False), (5.01, True)])
def test_a_sweep_that_loses_half_of_what_it_learned_goes_back_to_where_the_losses_were_lowest(
    last: float, ends: bool
) -> None:
    """From 9 to 1 and back to the middle, while each step still promises well: so Adam's do at a rate too high."""
    opening = begun(9.0)
    climb(opening, losses=[9.0] * 3 + [3.0] * 3 + [1.0] * 3 + [last] * 2, hoped=0.5, gained=0.5)
    assert not opening.done
    opening.survived(last, last)
    assert opening.climb(0.5, 0.5) != ends  # False where the network was taken back
    assert opening.done == ends
    assert opening.rate == pytest.approx(0.01 * 1.2**8 / 4 if ends else 0.01 * 1.2**12)


@pytest.mark.parametrize(("lowest", "ends"), [(6.76, False), (6.74, True)])
def test_on_a_plateau_nothing_was_learned_that_could_be_lost(lowest: float, ends: bool) -> None:
    """Losses that have not fallen by a quarter are those of other batches."""
    opening = begun(9.0)
    climb(opening, losses=[9.0] * 8 + [lowest] * 3 + [8.0] * 2, hoped=0.5, gained=0.5)
    assert not opening.done
    climb(opening, losses=[8.0], hoped=0.5, gained=0.5)
    assert opening.done == ends


@pytest.mark.parametrize(("lowest", "ends"), [(1.27, True), (1.30, False)])
def test_what_batches_alone_do_to_losses_is_not_half_of_what_was_learned(lowest: float, ends: bool) -> None:
    """Neighbours differ by 2, as normal losses of deviation 2 / 0.954 do: two sums of three by sqrt(6) of these.

    Known from 22 differences, four deviations and 6/22 of that: 26.1 of the 30 that the last three losses come to.
    """
    opening = begun(11.0)
    climb(opening, losses=[11.0, 9.0] * 10 + [lowest] * 3 + [10.0] * 2, hoped=0.5, gained=0.5)
    assert not opening.done
    climb(opening, losses=[10.0], hoped=0.5, gained=0.5)
    assert opening.done == ends


@pytest.mark.parametrize(("last", "survives"), [(10.6, True), (10.75, False)])
def test_what_batches_alone_do_to_losses_does_not_ruin_a_network(last: float, survives: bool) -> None:
    """As above, from 19 differences: 27.0 more than the first three losses, 5, of which three times is less."""
    opening = begun(1.0)
    climb(opening, losses=[1.0, 3.0] * 10 + [last] * 2, hoped=0.5, gained=0.5)
    assert opening.survived(last, last) == survives


def test_a_loss_that_multiplies_before_batches_have_told_anything_is_taken_for_risen() -> None:
    opening = begun(1.0)
    climb(opening, losses=[1.0] * 3, hoped=0.5, gained=0.5)
    assert not opening.survived(10.0, 10.0)


@pytest.mark.parametrize(("risen", "survives"), [(46.1, True), (46.3, False)])
def test_what_batches_do_is_known_from_the_climb_before_but_for_its_last_losses(risen: float, survives: bool) -> None:
    """11, 9, 11, 9, 11 of a climb that began too high, and 1 of the next one: 2 by the median, from five differences.

    Four deviations and 6/5 of that are 45.2; three losses come to 2 and the last, against 3.
    """
    opening = begun(11.0)
    climb(opening, losses=[11.0, 9.0] * 3, hoped=0.5, gained=0.5)
    climb(opening, losses=[11.0, 9.0], hoped=0.5, gained=-0.5)
    assert not opening.done
    assert opening.rate == pytest.approx(0.01 / 10)
    climb(opening, losses=[1.0] * 3, hoped=0.5, gained=0.5)
    assert opening.survived(risen, risen) == survives


@pytest.mark.parametrize(
    ("argument", "right", "wrong"),
    [
        ("below", 1.0, 0.99),
        ("growth", 1.001, 1.0),
        ("cut", 1.001, 1.0),
        ("again", 1.001, 1.0),
        ("tolerance", 0.0, -0.01),
        ("small", 0.0, -0.01),
        ("noise", 0.0, -0.01),
        ("plateau", 1.0, 1.01),
        ("plateau", 0.01, 0.0),
        ("margin", 1.0, 0.99),
        ("ruin", 1.001, 1.0),
    ],
)
def test_the_ends_of_the_ranges(argument: str, right: float, wrong: float) -> None:
    assert getattr(Opening(**{argument: right}), argument) == right
    with pytest.raises(
        InvalidArgument, match=rf"^{argument} must be a number in [\[(][01], (1|inf)[\])], got {wrong}$"
    ):
        Opening(**{argument: wrong})


@pytest.mark.parametrize(("hoped", "ends"), [(0.0099, False), (0.0101, True)])
def test_a_step_is_small_up_to_a_hundredth_of_the_loss(hoped: float, ends: bool) -> None:
    """A hundred of them would have to go wrong before the loss had doubled."""
    opening = high()
    climb(opening, losses=[1.0] * 3, hoped=hoped, gained=-hoped)
    assert opening.done == ends


@pytest.mark.parametrize(("loss", "ends"), [(0.76, False), (0.74, True)])
def test_below_three_quarters_of_the_first_losses_small_steps_count(loss: float, ends: bool) -> None:
    """By then the network has learned something, and small steps mean that there is little left to gain."""
    opening = high()
    climb(opening, losses=[1.0] * 3, hoped=0.5, gained=0.5)
    climb(opening, losses=[loss] * 3, hoped=0.005, gained=-0.005)
    assert opening.done == ends


@pytest.mark.parametrize(("loss", "survives"), [(2.99, True), (3.01, False)])
def test_a_network_is_lost_when_its_loss_has_tripled(loss: float, survives: bool) -> None:
    """Batches of a network that has learned nothing differ by less, and one that goes on from there is slow to mend."""
    opening = high()
    climb(opening, losses=[1.0] * 3, hoped=0.5, gained=0.5)
    climb(opening, losses=[loss] * 2, hoped=0.5, gained=0.5)
    assert opening.survived(loss, loss) == survives


@pytest.mark.parametrize(("steps", "again"), [(7, True), (8, False)])
def test_a_climb_that_began_near_the_edge_begins_again_at_a_tenth(steps: int, again: bool) -> None:
    """1.2^7 = 3.6: a quarter of the last rate is below all that were tried. 1.2^8 = 4.3."""
    opening = begun()
    climb(opening, losses=[1.0] * (steps - 2), hoped=0.5, gained=0.5)
    climb(opening, losses=[1.0] * 2, hoped=0.5, gained=-0.35)
    assert opening.rate == pytest.approx(0.01 * 1.2**steps)
    assert opening.survived(1.0, 1.0)
    assert not opening.climb(-0.35, 0.5)
    assert opening.done != again
    assert opening.rate == pytest.approx(0.001 if again else 0.01 * 1.2**8 / 4)
    if again:  # nothing that was seen at too high a rate counts
        climb(opening, losses=[9.0] * 3, hoped=0.5, gained=0.5)
        assert opening.rate == pytest.approx(0.001 * 1.2**3)


def handed(gains: list[float], *, hoped: float = 0.5, loss: float = 1e-4, resumed: bool = False) -> float:
    """By what part of a quarter of the edge an opening hands over whose steps were worth that to the next batches.

    In multiples of the rate. Of n steps before the edge n - 7 are below the quarter: 1.2^-7.6.
    """
    opening = begun(loss)
    for gained in gains:
        climb(opening, losses=[loss], hoped=hoped * opening.rate, gained=gained * opening.rate)
    if resumed:
        state = opening.state_dict()
        opening = Opening()
        opening.load_state_dict(state)
    climb(opening, losses=[loss], hoped=0.5, gained=-1e6)
    assert opening.done
    return opening.rate / (0.01 * 1.2 ** len(gains) / 4)


@pytest.mark.parametrize("resumed", [False, True])
def test_the_rate_is_lower_by_the_share_that_the_next_batch_keeps(resumed: bool) -> None:
    """14 steps, worth a tenth of what they promise. The last seven would change it."""
    assert handed([*[0.05] * 14, *[0.5] * 7], resumed=resumed) == pytest.approx(0.1 / 0.25)


def test_steps_weigh_as_much_as_they_promised_at_the_same_rate() -> None:
    """The gradients' products summed up, over their squares: 14 x (0.12 + 0.38) / (14 x (1 + 4)) is 0.1."""
    opening = begun(1e-4)
    for number in range(35):
        hoped, gained = (1.0, 0.12) if number % 2 else (4.0, 0.38)
        climb(opening, losses=[1e-4], hoped=hoped * opening.rate, gained=gained * opening.rate)
    climb(opening, losses=[1e-4], hoped=0.5, gained=-1e6)
    error = (28 / 27 * 28 * 0.02**2) ** 0.5 / (14 * 5)
    assert opening.rate == pytest.approx(0.01 * 1.2**35 / 4 * (0.1 - 2 * (1 + 6 / 28) * error) / 0.25)


@pytest.mark.parametrize(("spread", "part"), [(0.02, None), (0.185, 1 / 14 / 0.25), (0.19, 1.0)])
def test_only_a_share_that_is_surely_below_a_quarter_counts_and_as_the_least_that_it_may_be(
    spread: float, part: float | None
) -> None:
    """Two standard errors, by statistics as they are taught, and more where the steps are few: 14 of them."""
    shares = np.array([0.1 + spread, 0.1 - spread] * 7)
    error = 2 * (1 + 6 / 14) * shares.std(ddof=1) / np.sqrt(14)
    assert (0.1 + error < 0.25) == (part != 1)
    least = (0.1 - error) / 0.25 if part is None else part
    assert handed([*(0.5 * shares).tolist(), *[0.5] * 7]) == pytest.approx(least)


@pytest.mark.parametrize(("share", "part"), [(0.249, 0.996), (0.25, 1.0), (0.9, 1.0)])
def test_a_share_of_a_quarter_is_enough(share: float, part: float) -> None:
    """Batches of fifty keep 0.4 to 0.6: there the edge alone decides."""
    assert handed([0.5 * share] * 21) == pytest.approx(part)


@pytest.mark.parametrize("share", [0.0, -0.2])
def test_few_steps_cannot_tell_a_share_of_nothing(share: float) -> None:
    """Inputs that have no feature in common share no gradient either, and still the rate may not be 0: 1 / 14."""
    assert handed([0.5 * share] * 21) == pytest.approx(1 / 14 / 0.25)


@pytest.mark.parametrize(("steps", "part"), [(8, 1.0), (10, 1.0), (11, 1.0), (12, 0.8)])
def test_few_steps_below_the_quarter_cannot_tell_a_small_share(steps: int, part: float) -> None:
    """One step tells nothing; after four the share may still be a quarter, after five a fifth."""
    assert handed([0.0] * steps) == pytest.approx(part)


@pytest.mark.parametrize(("share", "steps"), [(0.24, 2), (0.13, 2), (0.124, 3), (0.3, 1)])
def test_an_action_holds_for_as_many_steps_as_make_up_for_the_share(share: float, steps: int) -> None:
    """A quarter over the share, rounded up."""
    opening = begun()
    climb(opening, losses=[1.0] * 21, hoped=0.5, gained=0.5 * share)
    assert opening.repeat == 1
    climb(opening, losses=[1.0], hoped=0.5, gained=-1e6)
    assert opening.done
    assert opening.repeat == steps
    again = Opening()
    again.load_state_dict(opening.state_dict())
    assert again.repeat == steps


def test_a_state_that_knows_no_share_is_of_a_run_whose_actions_hold_for_one_step() -> None:
    """That of version 0.2."""
    opening = begun()
    climb(opening, losses=[1.0] * 21, hoped=0.5, gained=0.0)
    state = opening.state_dict()
    del state["repeat"], state["kept"]
    again = Opening()
    again.load_state_dict(state)
    assert again.repeat == 1
    climb(again, losses=[1.0], hoped=0.5, gained=-1e6)
    assert again.rate == pytest.approx(0.01 * 1.2**21 / 4)


def test_two_steps_may_share_a_half() -> None:
    """Which is too little where all of it has to be kept. 1.2^9 = 5.2: two steps are below a quarter of that."""
    opening = Opening(tolerance=1.0)
    opening.attach(1.0, torch.optim.SGD([torch.nn.Parameter(torch.tensor([3.0]))], lr=1.0), list)
    climb(opening, losses=[1.0] * 9, hoped=0.5, gained=0.0)
    climb(opening, losses=[1.0], hoped=0.5, gained=-1e6)
    assert opening.rate == pytest.approx(0.01 * 1.2**9 / 4 / 2)


def test_a_step_at_the_quarter_itself_does_not_count() -> None:
    """As where the rate doubles: 0.01 to 1.28, an edge of 2.56, and six steps below 0.64. A sixth may be shared."""
    opening = Opening(growth=2.0)
    opening.attach(1.0, torch.optim.SGD([torch.nn.Parameter(torch.tensor([3.0]))], lr=1.0), list)
    climb(opening, losses=[1.0] * 8, hoped=0.5, gained=0.0)
    climb(opening, losses=[1.0], hoped=0.5, gained=-1e6)
    assert opening.rate == pytest.approx(0.64 / 6 / 0.25)


def test_the_share_knows_no_scale() -> None:
    """Of losses and of gradients: fourteen steps that promise 0.05 of their rate."""
    assert handed([0.0] * 21, hoped=0.05, loss=1e-6) == pytest.approx(1 / 14 / 0.25)


def test_on_a_plateau_the_share_says_nothing() -> None:
    """Steps that promise less than a hundredth of the loss: there batches have little in common for another reason."""
    assert handed([0.0] * 21, loss=10.0) == pytest.approx(1.0)


def test_steps_that_promise_a_rise_tell_no_share() -> None:
    """As with momentum, after the slope has turned."""
    assert handed([0.0] * 21, hoped=-0.5) == pytest.approx(1.0)


def test_steps_without_a_gradient_tell_no_share() -> None:
    """A hinge loss that has reached zero, until a batch ends the sweep."""
    opening = begun()
    climb(opening, losses=[1.0] * 3, hoped=1e-4, gained=1e-4)  # small
    climb(opening, losses=[0.0] * 18, hoped=0.0, gained=0.0)
    climb(opening, losses=[0.0], hoped=0.5, gained=-1e6)
    assert opening.rate == pytest.approx(0.01 * 1.2**21 / 4)


def test_a_tolerance_of_nothing_lowers_no_rate() -> None:
    opening = Opening(tolerance=0.0)
    opening.attach(1.0, torch.optim.SGD([torch.nn.Parameter(torch.tensor([3.0]))], lr=1.0), list)
    climb(opening, losses=[1.0] * 20, hoped=0.5, gained=0.0)
    climb(opening, losses=[1.0], hoped=0.5, gained=-0.1)
    assert opening.done
    assert opening.rate == pytest.approx(0.01 * 1.2**20 / 4)


def test_the_sweep_ends_after_two_hundred_steps() -> None:
    """A factor of 1e15: who has met no edge by then never will, and the rate is kept."""
    opening = begun()
    climb(opening, losses=[1.0] * 199, hoped=0.5, gained=0.5)
    assert not opening.done
    climb(opening, losses=[1.0], hoped=0.5, gained=0.5)
    assert opening.done
    assert opening.rate == pytest.approx(0.01 * 1.2**199)


def test_while_no_step_is_kept_the_losses_are_the_untouched_networks() -> None:
    """However much they differ from the first, no rate is to blame: a first loss near 0 does no harm."""
    opening = begun(1e-6)
    for loss in (1e-6, 1e-6, 1e-6, 2.0, 2.0, 2.0):
        assert not opening.survived(loss, 2 * loss)  # each step is taken back for its own batch's sake
    rate = opening.rate
    assert opening.survived(2.0, 1.9)
    assert opening.rate == rate


def test_the_last_losses_of_the_untouched_network_are_the_first_of_the_climb() -> None:
    """1 + 1 + 8, where it is the batches that differ: three times that is 30, and the last three come to 29.9, 30.9."""
    opening = begun()
    for _ in range(4):
        assert not opening.survived(1.0, 2.0)
    climb(opening, losses=[8.0, 8.0, 8.0, 13.9], hoped=0.5, gained=0.5)
    assert not opening.survived(9.0, 9.0)


def test_steps_that_change_nothing_are_not_too_large() -> None:
    """A hinge loss that has reached zero has no gradient: nothing was promised, and nothing lost."""
    opening = high()
    climb(opening, losses=[0.0] * 6, hoped=0.0, gained=0.0)
    assert not opening.done


def test_a_climb_that_began_at_the_quarter_itself_is_long_enough() -> None:
    """As where the rate doubles: four times the first is reached after two steps. Only one above it was too high."""
    opening = Opening(growth=2.0)
    opening.attach(1.0, torch.optim.SGD([torch.nn.Parameter(torch.tensor([3.0]))], lr=1.0), list)
    climb(opening, losses=[1.0] * 3, hoped=0.5, gained=-0.5)
    assert opening.done
    assert opening.rate == 0.01


@pytest.mark.parametrize(("multiple", "again"), [(0.99e5, False), (1.01e5, True)])
def test_the_sweep_begins_again_where_the_loss_is_of_another_size(multiple: float, again: bool) -> None:
    """Single examples of a network at a mean loss of 0.005 reach 20, four thousand times that; a hundred thousand times
    is a loss function that has changed."""
    opening = high()
    climb(opening, losses=[1.0] * 3, hoped=0.5, gained=-0.5)
    assert opening.done
    opening.look(101.0)
    opening.look(201.0)
    usual = 0.99 * (0.99 * 1.0 + 0.01 * 101.0) + 0.01 * 201.0
    assert opening.look(multiple * usual) == again
    assert opening.done != again
    if again:
        opening.attach(1.0, torch.optim.SGD([torch.nn.Parameter(torch.tensor([3.0]))], lr=1.0), list)
        assert opening.rate == pytest.approx(0.01)
        climb(opening, losses=[multiple * usual] * 8, hoped=1e5, gained=1e5)
        climb(opening, losses=[multiple * usual] * 3, hoped=1e5, gained=-1e5)
        assert opening.done
        assert not opening.look(0.99e5 * multiple * usual)  # what is usual now is of that size


def test_a_sweep_under_way_does_not_begin_again() -> None:
    opening = begun()
    assert not opening.look(1e9)
    assert opening.rate == pytest.approx(0.01)


@pytest.mark.parametrize("loss", [0.0, -1.0, float("nan")])
def test_a_first_loss_that_is_not_above_zero_is_refused(loss: float) -> None:
    with pytest.raises(InvalidArgument, match="the first loss must be above 0"):
        Opening().look(loss)


def test_a_statistic_that_its_module_assigns_anew_is_taken_back_too() -> None:
    module = torch.nn.BatchNorm1d(1)
    opening = Opening()
    opening.attach(1.0, torch.optim.SGD(module.parameters(), lr=1.0), lambda: list(module.buffers()))
    module.running_mean = module.running_mean + 7.0
    assert not opening.survived(1.0, float("nan"))
    assert module.running_mean.item() == 0.0


@pytest.mark.parametrize("saved_after", [0, 1, 4])
def test_a_sweep_goes_on_from_its_state(saved_after: int) -> None:
    """Before its first step, and amid the climb; the network that it takes back to is that of the first one."""
    opening = begun() if saved_after else Opening()
    climb(opening, losses=[1.0, 0.9, 0.8, 0.7][:saved_after], hoped=0.5, gained=0.5)
    state = opening.state_dict()
    climb(opening, losses=[1.0] * saved_after, hoped=0.5, gained=0.5)  # does not show in the state
    again, w = Opening(), torch.nn.Parameter(torch.tensor([5.0]))
    again.load_state_dict(state)
    assert not again.look(1.0)
    again.attach(1.0, torch.optim.SGD([w], lr=1.0), list)
    assert again.rate == pytest.approx(0.01 * 1.2**saved_after)
    climb(again, losses=[1.0] * (200 - saved_after), hoped=0.5, gained=0.5)
    assert again.done
    assert again.state_dict()["snapshot"] is None
    assert again.look(1e6)


def test_a_ruin_is_found_after_a_resume_and_its_network_taken_back() -> None:
    """1 + 0.9 + 0.8 times three is 8.1: the last three losses come to 6 and then to 14.3."""
    opening, v = begun(), torch.nn.Parameter(torch.tensor([5.0]))
    climb(opening, losses=[1.0, 0.9, 0.8, 0.7], hoped=0.5, gained=0.5)
    state = opening.state_dict()
    opening.load_state_dict(state)
    opening.attach(1.0, torch.optim.SGD([v], lr=1.0), list)
    assert opening.survived(2.5, 2.5)
    assert opening.survived(2.8, 2.8)
    assert v.item() == 5.0
    assert not opening.survived(9.0, 9.0)
    assert v.item() == 3.0
