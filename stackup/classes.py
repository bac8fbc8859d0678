"""`dataclass`, as the standard library has it, at a fifth of its price.

`dataclasses` writes and compiles six functions for each class, 0.6 ms, which was half of what the supervisor imports;
and it imports `inspect`, a third of what `ls` does. Here one function is compiled, `__init__`, and the others are
shared. What the house uses is there: frozen, slots, kw_only, order, eq, `field(default_factory=...)`. The standard
library's own `fields`, `replace` and `is_dataclass` take these classes, too. A test holds both against each other; type
checkers see the original.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["dataclass", "field", "fields", "is_dataclass", "is_default", "replace"]

if TYPE_CHECKING:
    from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
    from typing import Any

    def is_default(one: Field[Any], value: Any) -> bool: ...
else:

    class Field:
        """What is known of a field. `required`: it has no default; `factory` makes one anew for each value."""

        __slots__ = ("factory", "kw_only", "name", "required", "type", "value")
        init = repr = compare = True
        hash = None
        metadata = {}

        def __init__(self, name, annotation, kw_only, value, factory, required):
            self.name, self.type, self.kw_only = name, annotation, kw_only
            self.value, self.factory, self.required = value, factory, required

        # As the standard library knows it; only who has it imported asks.

        @property
        def default(self):
            return _theirs().MISSING if self.required or self.factory else self.value

        @property
        def default_factory(self):
            return self.factory or _theirs().MISSING

        @property
        def _field_type(self):
            return _theirs()._FIELD

    def _theirs():
        import dataclasses

        return dataclasses

    class _Factory:
        def __init__(self, make):
            self.make = make

    def field(*, default_factory):
        """A default that is made anew for each value."""
        return _Factory(default_factory)

    def dataclass(cls=None, /, *, frozen=False, slots=False, kw_only=False, order=False, eq=True):
        """See `dataclasses.dataclass`."""
        options = {"frozen": frozen, "slots": slots, "order": order, "eq": eq}
        if cls is None:
            return lambda cls: _make(cls, kw_only, **options)
        return _make(cls, kw_only, **options)

    def fields(value):
        """The fields of a class or of a value, in their order."""
        return tuple(value.__dataclass_fields__.values())

    def is_default(one, value):
        """Is this what the field holds where nobody says anything?"""
        return not one.required and value == (one.factory() if one.factory else one.value)

    def is_dataclass(value):
        return hasattr(value if isinstance(value, type) else type(value), "__dataclass_fields__")

    def replace(value, /, **changes):
        """The same value with other fields."""
        for name in value.__dataclass_fields__:
            if name not in changes:
                changes[name] = getattr(value, name)
        return type(value)(**changes)

    def _make(cls, kw_only, *, frozen, slots, order, eq):
        known = _collect(cls, kw_only)
        if slots:
            cls = _with_slots(cls, known)
        get = _getter(tuple(known))
        methods = {"__init__": _init(cls, known.values(), frozen, slots), "__repr__": _repr}
        if eq:
            methods |= {"__eq__": _equality(get), "__hash__": (lambda self: hash(get(self))) if frozen else None}
        if order:
            methods |= _order(get)
        if frozen:
            methods |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
        if frozen and slots:  # copy and pickle would set the attributes
            methods |= {"__getstate__": _state, "__setstate__": _set_state}
        cls.__dataclass_fields__ = known
        cls.__match_args__ = tuple(f.name for f in known.values() if not f.kw_only)
        for name, method in methods.items():
            if name == "__init__" or name not in cls.__dict__:
                setattr(cls, name, method)
        return cls

    def _collect(cls, kw_only):
        """Name -> Field: those of the bases, then its own."""
        known = {}
        for base in cls.__mro__[:0:-1]:
            known.update(getattr(base, "__dataclass_fields__", ()))
        for name, annotation in cls.__annotations__.items():
            if str(annotation).removeprefix("typing.").startswith("ClassVar"):
                continue
            required, value, factory = name not in cls.__dict__, cls.__dict__.get(name), None
            if isinstance(value, _Factory):
                value, factory = None, value.make
                delattr(cls, name)
            elif type(value).__module__ == "dataclasses":  # made by the standard library's `field`
                required, factory, value = False, value.default_factory, None
                delattr(cls, name)
            elif not required and type(value).__hash__ is None:
                raise ValueError(f"field {name} of {cls.__name__} shares its default between all values, use field()")
            known[name] = Field(name, annotation, kw_only, value, factory, required)
        return known

    def _with_slots(cls, known):
        """The same class with `__slots__`, which only a class in the making can get."""
        inherited = {slot for base in cls.__mro__[1:-1] for slot in getattr(base, "__slots__", ())}
        content = {k: v for k, v in cls.__dict__.items() if k not in known and k not in ("__dict__", "__weakref__")}
        content["__slots__"] = tuple(name for name in known if name not in inherited)
        content["__qualname__"] = cls.__qualname__
        return type(cls)(cls.__name__, cls.__bases__, content)

    def _init(cls, known, frozen, slots):
        """`def __init__(self, a, b=_default_b, *, c=_made): ...`; frozen: slots are set through their descriptors."""
        names = {"_made": _MADE, "_object_set": object.__setattr__}
        parameters, keywords, lines = [], [], []
        for one in known:
            name = parameter = value = one.name
            if one.factory:
                names[f"_make_{name}"] = one.factory
                parameter, value = f"{name}=_made", f"_make_{name}() if {name} is _made else {name}"
            elif not one.required:
                names[f"_default_{name}"] = one.value
                parameter = f"{name}=_default_{name}"
            (keywords if one.kw_only else parameters).append(parameter)
            if not frozen:
                lines.append(f" self.{name} = {value}")
            elif slots:
                names[f"_set_{name}"] = getattr(cls, name).__set__
                lines.append(f" _set_{name}(self, {value})")
            else:
                lines.append(f" _object_set(self, {name!r}, {value})")
        if hasattr(cls, "__post_init__"):
            lines.append(" self.__post_init__()")
        listed = ", ".join(["self", *parameters, *(["*", *keywords] if keywords else [])])
        exec(f"def __init__({listed}):\n" + ("\n".join(lines) or " pass"), names)  # noqa: S102  names of fields alone
        made = names["__init__"]
        made.__qualname__, made.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
        return made

    _MADE = type("_Made", (), {"__repr__": lambda _self: "<made anew>"})()

    def _getter(names):
        """All fields of a value as a tuple; what one field holds where there is only one."""
        from operator import attrgetter

        return attrgetter(*names) if names else lambda _self: ()

    def _repr(self):
        inside = ", ".join([f"{name}={getattr(self, name)!r}" for name in self.__dataclass_fields__])
        return f"{type(self).__qualname__}({inside})"

    def _equality(get):
        def equal(self, other):
            if other.__class__ is not self.__class__:
                return NotImplemented
            return get(self) == get(other)

        return equal

    def _order(get):
        import operator

        def compared(operation):
            def method(self, other):
                if other.__class__ is not self.__class__:
                    return NotImplemented
                return operation(get(self), get(other))

            return method

        return {f"__{name}__": compared(getattr(operator, name)) for name in ("lt", "le", "gt", "ge")}

    def _refuse_to_set(self, name, _value):
        raise _theirs().FrozenInstanceError(f"cannot assign to field {name!r}")

    def _refuse_to_delete(self, name):
        raise _theirs().FrozenInstanceError(f"cannot delete field {name!r}")

    def _state(self):
        return [getattr(self, name) for name in self.__dataclass_fields__]

    def _set_state(self, state):
        for name, value in zip(self.__dataclass_fields__, state, strict=True):
            object.__setattr__(self, name, value)
