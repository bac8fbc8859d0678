import unittest

from greeter import greet


class GreeterTest(unittest.TestCase):
    def test_greets_by_name(self):
        self.assertEqual(greet("world"), "hello, world")
