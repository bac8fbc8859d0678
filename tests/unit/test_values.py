from stackup.spec.layers import Copy, Run
from stackup.spec.model import Healthcheck, Image, Port, Resources, Service
from stackup.values import from_plain, to_plain


def test_a_service_survives_the_way_through_json() -> None:
    service = Service(
        name="web", image="web", ports=(Port(target=80, published=8080),), resources=Resources(memory=64 << 20)
    )
    assert from_plain(Service, to_plain(service)) == service


def test_layers_are_told_apart_by_their_kind() -> None:
    image = Image(name="web", layers=(Copy(source="a", target="/b"), Run(command=("true",))))
    assert from_plain(Image, to_plain(image)) == image


def test_defaults_are_left_out_so_an_older_record_reads_the_same() -> None:
    assert to_plain(Service(name="web", image="web")) == {"name": "web", "image": "web"}


def test_unknown_keys_of_a_newer_stackup_are_dropped() -> None:
    assert from_plain(Port, {"target": 80, "colour": "red"}) == Port(target=80)


def test_an_optional_value_without_a_kind_is_read_as_what_it_is() -> None:
    service = Service(name="web", image="web", healthcheck=Healthcheck(test=("CMD", "true")))
    assert from_plain(Service, to_plain(service)) == service
