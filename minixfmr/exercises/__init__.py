"""Check the exercises of tutorials/exercises/ in a student's folder: python -m minixfmr.exercises FOLDER."""
