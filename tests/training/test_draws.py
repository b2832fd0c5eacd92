import torch

from convtrials.training.engine.setup import seed_layers


def test_layers_draw_what_torchs_own_seeding_gives_them() -> None:
    ones = torch.ones(1000)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        usual = torch.nn.functional.dropout(ones, 0.5)
        seed_layers(7, torch.device("cpu"))
        assert torch.equal(torch.nn.functional.dropout(ones, 0.5), usual)
        assert not torch.equal(torch.nn.functional.dropout(ones, 0.5), usual)


def test_nothing_piles_up_for_devices_that_are_not_there() -> None:
    before = len(torch.cuda._queued_calls)
    for seed in range(5):
        seed_layers(seed, torch.device("cpu"))
    assert len(torch.cuda._queued_calls) == before
